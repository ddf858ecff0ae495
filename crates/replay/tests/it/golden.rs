//! The digest of a fixed log, so that an accidental change of the canonical encoding is seen.

use trialog_ops::{Record, SessionId, SessionRef};
use trialog_replay::State;

use crate::table::ops;

/// Every kind of op, and every kind of value that the encoding treats on its own.
pub(crate) const LOG: &str = "
    study a minimize maximize with tpe hyperband 7
    study gone minimize
    study c maximize
    metrics 0 loss accuracy
    configure 2 random none 18446744073709551615
    attr-of-study 0 author=\"me\"
    system-attr-of-study 0 note=[1,NaN]
    trial 0 at 10
    trial 1 at 11
    delete 1
    params 0 x=float(0,1):0.5 s=float(0,1,0.25):0.25 l=float(1e-5,1,log):0.001
    params 0 i=int(-3,9):-2 j=int(1,9,2):3 m=int(1,64,log):8 c=cat(a,1,1.0,true,null):4
    report 0 3 0.25
    report 0 1 NaN
    report 0 9007199254740993 -0.0
    constraint 0 c1 -1.5
    attr 0 k={}
    system-attr 0 k=null
    finish 0 complete inf -0.0 at 20
    add 2 waiting params x=float(0,1):1 user fixed=true
    add 2 running start 12 params k0:2
    add 2 pruned values 0.5 start 12 end 13 reports 0:1 4:-inf constraints c:1
    add 2 fail end -5
    params 3 x=float(0,2):1
    retract 2 k0
    claim 2 at 30
    requeue 2
    budget 2 trials 9 finished 7 until 1000
    budget 0 trials 18446744073709551615
    retries 0 2 reports
    lease 60000
    trial 0 at 40
    params 6 x=float(0,1):0.75
    report 6 2 1.5
    attr 6 note=\"mine\"
    lost 3 seen 35 at 50
    claim 7 at 51
    finish 6 complete 1 2 at 52
    skipped 200
    trial 9 at 1
";

/// What follows [`LOG`] where trials are changed after their end: what version 3 of snapshots is for.
pub(crate) const CHANGES: &str = "
    void 4 by ada at 60 for bug
    void 0 by ada at 61 for bug
    unvoid 0 by bob at 62 for fine
    amend 0 state pruned values 1 -inf user k=7 n=[] constraints c1:3 c2 by ada at 63 for unit
    amend 6 values by ada at 63 for early
    amend 6 state fail values by ada at 63 for early
    amend 6 values 3 4 user note by ada at 64 for late
    undo 6 1 by bob at 65 for wrong
    undo 0 2 by bob at 66 for wrong
    amend 5 constraints c:-1 by ada at 67 for unit
";

/// What follows [`LOG`] and [`CHANGES`] where metrics are reported: what version 4 of snapshots is for.
pub(crate) const METRICS: &str = "
    trial 0 at 70
    measure 8 3 acc:0.5 größe:-0.0
    measure 8 1 größe:NaN
    measure 8 9007199254740993 m0:inf
    add 2 complete values 0.25 end 71 metrics loss 0:1 2:0.5 acc 1:0.125
    add 2 complete values 0.5 end 71 reports 0:1 metrics m0 1:0.25
    void 10 by ada at 72 for bug
    study brief minimize
    trial 3 at 73
    measure 11 0 gone:1
    delete 3
";

#[test]
fn the_digest_of_a_fixed_log_is_pinned() {
    let mut state = State::new();
    for (op, counter) in ops(LOG).into_iter().zip(0..) {
        let session = SessionRef::Id(SessionId([counter as u8 / 10; 16]));
        state.apply(&Record { session, counter, ops: vec![op] }, &mut Vec::new());
    }
    let found = [state.digest(), state.studies().next().unwrap().digest(), State::new().digest()];
    let expected = [
        "e569e48812f0dbaf7ef7b02ff8c42597",
        "912fa1928eeed142fd6ed2574b4dd3e7",
        "834a709ba2534ebe3ee1397fd4f7bd28",
    ];
    assert_eq!(found.map(|digest| digest.to_string()), expected);
    for (op, counter) in ops(CHANGES).into_iter().zip(0..) {
        let session = SessionRef::Id(SessionId([9; 16]));
        state.apply(&Record { session, counter, ops: vec![op] }, &mut Vec::new());
    }
    let found = [state.digest(), state.studies().next().unwrap().digest()];
    let expected = ["f18c1a613d5dab68dc4a7d47f5e3e05a", "55644648822c6fbe9943bed66213865d"];
    assert_eq!(found.map(|digest| digest.to_string()), expected);
    for (op, counter) in ops(METRICS).into_iter().zip(0..) {
        let session = SessionRef::Id(SessionId([10; 16]));
        let mut verdicts = Vec::new();
        state.apply(&Record { session, counter, ops: vec![op.clone()] }, &mut verdicts);
        assert_eq!(verdicts[0].rejection(), None, "{op:?}");
    }
    let found = [state.digest(), state.studies().next().unwrap().digest()];
    let expected = ["605ba033cd7634fac896fd1f0eeca954", "e6c1d703a949323767fd830a3da2a515"];
    assert_eq!(found.map(|digest| digest.to_string()), expected);
}

#[test]
fn canary_a_flipped_sign_of_zero_is_seen() {
    let digest = |log: &str| {
        let record = Record { session: SessionRef::Id(SessionId([0; 16])), counter: 0, ops: ops(log) };
        let mut state = State::new();
        state.apply(&record, &mut Vec::new());
        state.digest()
    };
    assert_eq!(digest(LOG), digest(LOG));
    assert_ne!(digest(LOG), digest(&LOG.replace("inf -0.0 at", "inf 0.0 at")));
    let measured = "study a minimize\ntrial 0 at 1\nmeasure 0 3 acc:0.5 größe:-0.0\nstudy b minimize\ntrial 1 at 1\nmeasure 1 1 gone:1\ndelete 1";
    for (what, other) in
        [("größe:-", "größe:"), ("größe", "groesse"), ("gone", "lost"), ("0 3 acc:0.5", "0 2 acc:0.5")]
    {
        assert_ne!(digest(measured), digest(&measured.replace(what, other)), "{what}");
    }
}
