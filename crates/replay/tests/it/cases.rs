//! The cases of `apply`, in the table language. A test at the end wants every op and every reason among them.

use crate::table::{OP_NAMES, Seen, check, run};

/// Makes a test of each table, and a list of them all.
macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident: $table:expr;)*) => {
        $($(#[$doc])* #[test] fn $name() { check($table); })*

        pub(crate) const TABLES: &[&str] = &[$($table),*];
    };
}

pub(crate) use tables;

tables! {
    studies: "
        study a minimize                                  -> study 0
        study a minimize                                  -> rejected: study exists 0
        study b minimize maximize with tpe hyperband 7    -> study 1
        study c                                           -> rejected: bad study
        study c maximize                                  -> study 2
        show 0                                            -> a minimize
        show 1                                            -> b minimize maximize, config tpe hyperband 7
        named b                                           -> 1
        named d                                           -> none
        metrics 1 loss accuracy                           -> applied
        metrics 1 loss                                    -> rejected: bad study
        metrics 1                                         -> rejected: bad study
        configure 0 random none 1                         -> applied
        configure 1 random none 18446744073709551615      -> applied
        show 0                                            -> a minimize, config random none 1
        show 1                         -> b minimize maximize, metrics loss accuracy, config random none 18446744073709551615
        metrics 1 same same                               -> applied
        show 1                         -> b minimize maximize, metrics same same, config random none 18446744073709551615
        attr-of-study 0 k=1                               -> applied
        attr-of-study 0 k=[2]                             -> applied
        attr-of-study 0 =null                             -> applied
        system-attr-of-study 0 k=\"x\"                    -> applied
        show-attrs 0                                      -> =null k=[2] system k=\"x\"
        show-attrs 1                                      ->
    ";

    /// Ids are never used again, a name is; nothing can happen to what was deleted.
    deleted_studies: "
        study a minimize                                  -> study 0
        study b minimize                                  -> study 1
        trial 0 at 1                                      -> trial 0 number 0
        trial 1 at 1                                      -> trial 1 number 0
        add 0 waiting                                     -> trial 2 number 1
        finish 0 complete 1 at 2                          -> applied
        delete 0                                          -> applied
        delete 0                                          -> rejected: study deleted 0
        named a                                           -> none
        attr-of-study 0 k=1                               -> rejected: study deleted 0
        system-attr-of-study 0 k=1                        -> rejected: study deleted 0
        metrics 0 m                                       -> rejected: study deleted 0
        configure 0 random none 1                         -> rejected: study deleted 0
        trial 0 at 3                                      -> rejected: study deleted 0
        add 0 waiting                                     -> rejected: study deleted 0
        claim 2 at 3                                      -> rejected: study deleted 0
        requeue 0                                         -> rejected: study deleted 0
        params 2 x=float(0,1):0                           -> rejected: study deleted 0
        retract 2 k0                                      -> rejected: study deleted 0
        report 2 0 1                                      -> rejected: study deleted 0
        finish 2 fail at 3                                -> rejected: study deleted 0
        finish 0 fail at 3                                -> rejected: study deleted 0
        attr 2 k=1                                        -> rejected: study deleted 0
        system-attr 2 k=1                                 -> rejected: study deleted 0
        constraint 2 c 0                                  -> rejected: study deleted 0
        where 2                                           -> study 0 number 1
        study a maximize                                  -> study 2
        named a                                           -> 2
        trial 2 at 4                                      -> trial 3 number 0
        trial 1 at 4                                      -> trial 4 number 1
        show 1                                            -> b minimize, running 2, at work 0 1
        show 2                                            -> a maximize, running 1, at work 0
    ";

    what_never_was: "
        study a minimize                                  -> study 0
        delete 1                                          -> rejected: no study 1
        attr-of-study 4294967295 k=1                      -> rejected: no study 4294967295
        system-attr-of-study 1 k=1                        -> rejected: no study 1
        metrics 1 m                                       -> rejected: no study 1
        configure 1 random none 1                         -> rejected: no study 1
        trial 1 at 1                                      -> rejected: no study 1
        add 1 waiting                                     -> rejected: no study 1
        claim 0 at 1                                      -> rejected: no trial 0
        requeue 0                                         -> rejected: no trial 0
        params 0                                          -> rejected: no trial 0
        retract 0 k0                                      -> rejected: no trial 0
        report 18446744073709551615 0 1                   -> rejected: no trial 18446744073709551615
        finish 0 fail at 1                                -> rejected: no trial 0
        attr 0 k=1                                        -> rejected: no trial 0
        system-attr 0 k=1                                 -> rejected: no trial 0
        constraint 0 c 0                                  -> rejected: no trial 0
        where 0                                           -> nowhere
        trial 0 at 1                                      -> trial 0 number 0
    ";

    trials: "
        study a minimize                                  -> study 0
        trial 0 at 10                                     -> trial 0 number 0
        params 0 x=float(0,1):0.5 c=cat(a,b):1            -> applied
        show-trial 0 0                                    -> running, start 10, params c=b (one of a, b) x=0.5 (float 0.0..1.0)
        finish 0 complete 0.2 at 20                       -> applied
        show-trial 0 0      -> complete, values 0.2, start 10, end 20, params c=b (one of a, b) x=0.5 (float 0.0..1.0)
        trial 0 at 11                                     -> trial 1 number 1
        finish 1 pruned at 12                             -> applied
        trial 0 at 11                                     -> trial 2 number 2
        finish 2 pruned 5 at 12                           -> applied
        trial 0 at 11                                     -> trial 3 number 3
        finish 3 fail at 5                                -> applied
        add 0 waiting                                     -> trial 4 number 4
        finish 4 fail at 12                               -> applied
        show-trial 0 1                                    -> pruned, start 11, end 12
        show-trial 0 2                                    -> pruned, values 5.0, start 11, end 12
        show-trial 0 3                                    -> fail, start 11, end 5
        show-trial 0 4                                    -> fail, end 12
        show 0                                            -> a minimize, complete 1, pruned 2, fail 2, best 0, joint c x, with pruned nothing
    ";

    /// A finished trial does not change, whatever is said of it.
    finished_trials: "
        study a minimize                                  -> study 0
        trial 0 at 10 ; finish 0 complete 0.2 at 20       -> trial 0 number 0 ; applied
        finish 0 fail at 21                               -> rejected: finished 0 complete
        finish 0 complete 0.2 at 20                       -> rejected: finished 0 complete
        claim 0 at 21                                     -> rejected: finished 0 complete
        requeue 0                                         -> rejected: finished 0 complete
        params 0 x=float(0,1):0.5                         -> rejected: finished 0 complete
        params 0 k9:0.5                                   -> rejected: finished 0 complete
        params 0                                          -> rejected: finished 0 complete
        retract 0                                         -> rejected: finished 0 complete
        report 0 0 1                                      -> rejected: finished 0 complete
        attr 0 k=1                                        -> rejected: finished 0 complete
        system-attr 0 k=1                                 -> rejected: finished 0 complete
        constraint 0 c nan                                -> rejected: finished 0 complete
        show-trial 0 0                                    -> complete, values 0.2, start 10, end 20
        add 0 pruned end 1 ; report 1 0 1                 -> trial 1 number 1 ; rejected: finished 1 pruned
        add 0 fail end 1 ; report 2 0 1                   -> trial 2 number 2 ; rejected: finished 2 fail
        keys                                              ->
    ";

    final_values: "
        study one minimize                                -> study 0
        study two minimize maximize                       -> study 1
        trial 0 at 1                                      -> trial 0 number 0
        finish 0 complete at 2                            -> rejected: 0 values for 1
        finish 0 complete 1 2 at 2                        -> rejected: 2 values for 1
        finish 0 pruned 1 2 at 2                          -> rejected: 2 values for 1
        finish 0 fail 1 2 at 2                            -> rejected: 2 values for 1
        finish 0 complete nan at 2                        -> rejected: nan
        finish 0 pruned nan at 2                          -> rejected: nan
        show 0                                            -> one minimize, running 1, at work 0
        finish 0 complete inf at 2                        -> applied
        trial 0 at 1 ; finish 1 complete -inf at 2        -> trial 1 number 1 ; applied
        trial 0 at 1 ; finish 2 fail 7 at 2               -> trial 2 number 2 ; applied
        trial 0 at 1 ; finish 3 complete -0.0 at 2        -> trial 3 number 3 ; applied
        show-trial 0 0                                    -> complete, values inf, start 1, end 2
        show-trial 0 2                                    -> fail, values 7.0, start 1, end 2
        show-trial 0 3                                    -> complete, values -0.0, start 1, end 2
        show 0                                            -> one minimize, complete 3, fail 1, best 1 3 0
        trial 1 at 1                                      -> trial 4 number 0
        finish 4 complete 1 at 2                          -> rejected: 1 values for 2
        finish 4 pruned 1 at 2                            -> rejected: 1 values for 2
        finish 4 complete 1 nan at 2                      -> rejected: nan
        finish 4 complete 1 -inf at 2                     -> applied
    ";

    /// The first claim in log order wins; a requeued trial can be claimed again.
    claims: "
        study a minimize                                  -> study 0
        add 0 waiting params x=float(0,1):0.5             -> trial 0 number 0
        add 0 waiting                                     -> trial 1 number 1
        show 0                                            -> a minimize, waiting 2, queue 0 1
        @you claim 0 at 5 ; claim 0 at 6                  -> applied ; rejected: not waiting 0
        @me claim 0 at 5                                  -> rejected: not waiting 0
        show-trial 0 0                                    -> running, start 5, params x=0.5 (float 0.0..1.0)
        show 0                                            -> a minimize, running 1, waiting 1, queue 1, at work 0
        requeue 1                                         -> rejected: not running 1
        report 0 3 1                                      -> applied
        requeue 0                                         -> applied
        requeue 0                                         -> rejected: not running 0
        show 0                                            -> a minimize, waiting 2, queue 0 1
        show-trial 0 0          -> waiting, start 5, params x=0.5 (float 0.0..1.0), reports 3:1.0
        claim 0 at 9                                      -> applied
        show-trial 0 0          -> running, start 9, params x=0.5 (float 0.0..1.0), reports 3:1.0
        trial 0 at 9                                      -> trial 2 number 2
        claim 2 at 10                                     -> rejected: not waiting 2
        finish 1 complete 3 at 10                         -> applied
        claim 1 at 10                                     -> rejected: finished 1 complete
    ";

    /// A waiting trial takes everything that a running one does.
    waiting_trials_are_open: "
        study a minimize                                  -> study 0
        add 0 waiting                                     -> trial 0 number 0
        params 0 x=float(0,1):0.5                         -> applied
        report 0 0 1                                      -> applied
        attr 0 k=1                                        -> applied
        constraint 0 c 1                                  -> applied
        show-trial 0 0  -> waiting, params x=0.5 (float 0.0..1.0), reports 0:1.0, attrs k=1, constraints c:1.0, violation 1.0
    ";

    /// A record is applied once, and a session's counter only rises.
    sessions: "
        study a minimize                                  -> study 0
        again                                             -> repeated
        trial 0 at 1 ; trial 0 at 1                       -> trial 0 number 0 ; trial 1 number 1
        again                                             -> repeated ; repeated
        again                                             -> repeated ; repeated
        show 0                                            -> a minimize, running 2, at work 0 1
        @me:1 finish 0 fail at 2                          -> repeated
        @me:0 finish 0 fail at 2                          -> repeated
        @me:9 report 0 0 1                                -> applied
        @me:5 report 0 1 1                                -> repeated
        @you:5 report 0 1 1                               -> applied
        @you:5 report 0 2 1                               -> repeated
        @#0:10 report 0 2 1                               -> applied
        @me:10 report 0 3 1                               -> repeated
        @#1:4 report 0 3 1                                -> repeated
        @#1:6 report 0 3 1                                -> applied
        @#2:0 report 0 4 1 ; skipped 9                    -> rejected: no session ; rejected: no session
        @#4294967295:0 report 0 4 1                       -> rejected: no session
        again                                             -> rejected: no session
        @third:18446744073709551615 skipped 1             -> skipped
        @third:18446744073709551615 skipped 1             -> repeated
        session me                                        -> 0
        session you                                       -> 1
        session third                                     -> 2
        session nobody                                    -> none
        @fourth:0 delete 7                                -> rejected: no study 7
        again                                             -> repeated
        session fourth                                    -> 3
        show-trial 0 0                                    -> running, start 1, reports 0:1.0 1:1.0 2:1.0 3:1.0
        records                                           -> 22
    ";

    /// The ops of a record stand for themselves: a rejected one does not stop the ones after it.
    records: "
        study a minimize ; study a maximize ; trial 0 at 1 ; finish 0 complete at 2 -> study 0 ; rejected: study exists 0 ; trial 0 number 0 ; rejected: 0 values for 1
        finish 0 fail at 2 ; finish 0 complete 1 at 3     -> applied ; rejected: finished 0 fail
        delete 0 ; trial 0 at 1 ; study a minimize ; trial 1 at 1 -> applied ; rejected: study deleted 0 ; study 1 ; trial 1 number 0
    ";

    /// A definition gets its key where it is first used; the same one never gets a second.
    keys_are_given_in_order_of_first_use: "
        study a minimize ; study b minimize               -> study 0 ; study 1
        trial 0 at 1 ; trial 1 at 1 ; trial 0 at 1        -> trial 0 number 0 ; trial 1 number 0 ; trial 2 number 1
        params 0 k0:1                                     -> rejected: no param
        params 0 z=int(0,9):1 a=float(0,1):0.5            -> applied
        keys                                              -> k0 z int 0..9, k1 a float 0.0..1.0
        params 0 k2:1 n=int(0,9):1                        -> rejected: no param
        params 1 m=cat(u,v):0 k1:0.25 z=int(0,9):2        -> applied
        keys                             -> k0 z int 0..9, k1 a float 0.0..1.0, k2 m one of u, v
        params 2 k0:3 k1:0.75 k2:1                        -> applied
        show-trial 0 1                   -> running, start 1, params a=0.75 (float 0.0..1.0) m=v (one of u, v) z=3 (int 0..9)
        show-trial 1 0                   -> running, start 1, params a=0.25 (float 0.0..1.0) m=u (one of u, v) z=2 (int 0..9)
        params 0 k4294967295:1                            -> rejected: no param
        add 0 waiting params k3:1                         -> rejected: no param
        add 0 waiting params q=int(0,1):0 k2:0            -> trial 3 number 2
        params 0 k3:1                                     -> applied
        show-trial 0 0                   -> running, start 1, params a=0.5 (float 0.0..1.0) q=1 (int 0..1) z=1 (int 0..9)
    ";

    /// A rejected op defines nothing: the next definition gets the key.
    rejected_definitions_get_no_key: "
        study a minimize ; trial 0 at 1                   -> study 0 ; trial 0 number 0
        params 0 n=int(0,1):0 c=cat(a):1                  -> rejected: bad param c
        add 0 complete values 1 end 2 params n=int(0,1):0 c=cat(a):1 -> rejected: bad param c
        add 0 complete end 2 params n=int(0,1):0          -> rejected: 0 values for 1
        @#9:0 params 0 n=int(0,1):0                       -> rejected: no session
        params 0 later=int(0,1):0                         -> applied
        keys                                              -> k0 later int 0..1
    ";

    param_values: "
        study a minimize ; trial 0 at 1                   -> study 0 ; trial 0 number 0
        params 0 x=float(0,1):nan                         -> rejected: bad param x
        params 0 i=int(0,1):nan                           -> rejected: bad param i
        params 0 c=cat(a,b):nan                           -> rejected: bad param c
        params 0 c=cat(a,b):2                             -> rejected: bad param c
        params 0 c=cat(a,b):-1                            -> rejected: bad param c
        params 0 c=cat(a,b):0.5                           -> rejected: bad param c
        params 0 c=cat(a,b):inf                           -> rejected: bad param c
        params 0 x=float(0,1):inf i=int(0,1):7 c=cat(a,b):-0.0 -> applied
        show-trial 0 0      -> running, start 1, params c=a (one of a, b) i=7 (int 0..1) x=inf (float 0.0..1.0)
        params 0 k0:-0.0                                  -> applied
        show-trial 0 0      -> running, start 1, params c=a (one of a, b) i=7 (int 0..1) x=-0.0 (float 0.0..1.0)
        params 0 k2:2                                     -> rejected: bad param c
        params 0                                          -> applied
    ";

    /// A later value replaces an earlier one, also inside one op.
    params_are_overwritten: "
        study a minimize ; trial 0 at 1                   -> study 0 ; trial 0 number 0
        params 0 x=float(0,1):0.5 x=float(0,1):0.75       -> applied
        params 0 x=float(0,2):1.5                         -> applied
        show-trial 0 0                                    -> running, start 1, params x=1.5 (float 0.0..2.0)
        params 0 k0:0.25                                  -> applied
        show-trial 0 0                                    -> running, start 1, params x=0.25 (float 0.0..1.0)
    ";

    /// Within a study a name keeps its kind, its scale and its choices; ranges and steps may change.
    compatibility: "
        study a minimize ; study b minimize               -> study 0 ; study 1
        trial 0 at 1 ; trial 0 at 1 ; trial 1 at 1        -> trial 0 number 0 ; trial 1 number 1 ; trial 2 number 0
        params 0 x=float(0,1):0.5 i=int(1,9):1 c=cat(a,b):0 -> applied
        params 1 x=float(-5,5,0.5):0.5 i=int(2,8,2):4     -> applied
        params 1 x=float(1,2,log):1                       -> rejected: incompatible x
        params 1 x=int(0,1):1                             -> rejected: incompatible x
        params 1 x=cat(a):0                               -> rejected: incompatible x
        params 1 i=int(1,9,log):1                         -> rejected: incompatible i
        params 1 c=cat(b,a):0                             -> rejected: incompatible c
        params 1 c=cat(a,b,c):0                           -> rejected: incompatible c
        params 1 t=cat(1,1.0,true):0                      -> applied
        params 1 t=cat(1.0,1,true):0                      -> rejected: incompatible t
        params 1 n=float(0,1):0 c=cat(b,a):0              -> rejected: incompatible c
        add 0 complete values 1 end 2 params x=cat(a):0   -> rejected: incompatible x
        params 2 x=cat(b,a):0 i=int(1,9,log):1            -> applied
        params 1 k6:0                                     -> rejected: incompatible x
        keys -> k0 x float 0.0..1.0, k1 i int 1..9, k2 c one of a, b, k5 t one of 1, 1.0, true, k6 x one of b, a, k7 i int 1..9 log
        show-trial 0 1 -> running, start 1, params i=4 (int 2..8 step 2) t=1 (one of 1, 1.0, true) x=0.5 (float -5.0..5.0 step 0.5)
    ";

    /// Two definitions of one name inside an op must agree as if they came one after the other.
    names_that_clash_inside_one_op: "
        study a minimize ; study b minimize               -> study 0 ; study 1
        trial 0 at 1 ; trial 1 at 1                       -> trial 0 number 0 ; trial 1 number 0
        params 0 x=float(0,1):0.5 x=int(0,1):0            -> rejected: incompatible x
        params 0 x=cat(a):0 y=int(0,1):0 x=cat(b):0       -> rejected: incompatible x
        add 0 waiting params x=float(0,1):0.5 x=int(0,1):0 -> rejected: incompatible x
        params 0 x=float(0,1):0.5 x=float(0,3):2          -> applied
        params 1 x=int(0,1):0                             -> applied
        params 1 k0:0                                     -> rejected: incompatible x
        params 0 k2:0                                     -> rejected: incompatible x
        study c minimize ; trial 2 at 1                   -> study 2 ; trial 2 number 0
        params 2 k0:0 k2:0                                -> rejected: incompatible x
        params 2 k2:1 k2:0                                -> applied
        show-trial 0 0                                    -> running, start 1, params x=2.0 (float 0.0..3.0)
        show-trial 2 0                                    -> running, start 1, params x=0 (int 0..1)
    ";

    /// What a trial never asked for is taken back; a parameter set again with another definition stays.
    retracted_params: "
        study a minimize ; trial 0 at 1 ; trial 0 at 1    -> study 0 ; trial 0 number 0 ; trial 1 number 1
        params 0 x=float(0,1):0.5 y=int(0,9):3 z=int(0,9):3 -> applied
        retract 0 k0 k2                                   -> applied
        show-trial 0 0                                    -> running, start 1, params y=3 (int 0..9)
        retract 0 k0                                      -> applied
        retract 0                                         -> applied
        retract 1 k1                                      -> applied
        retract 0 k9                                      -> rejected: no param
        retract 0 k1 k9                                   -> rejected: no param
        show-trial 0 0                                    -> running, start 1, params y=3 (int 0..9)
        params 0 y=int(0,99):42                           -> applied
        retract 0 k1                                      -> applied
        show-trial 0 0                                    -> running, start 1, params y=42 (int 0..99)
        retract 0 k3                                      -> applied
        show-trial 0 0                                    -> running, start 1
        params 0 x=cat(a):0                               -> rejected: incompatible x
        params 0 k0:0.125                                 -> applied
        finish 0 complete 1 at 2                          -> applied
        show 0                                            -> a minimize, running 1, complete 1, at work 1, best 0, joint x
    ";

    templates: "
        study a minimize                                  -> study 0
        study two minimize maximize                       -> study 1
        add 0 waiting                                     -> trial 0 number 0
        add 0 running start 5                             -> trial 1 number 1
        add 0 running                                     -> trial 2 number 2
        add 0 complete values 2 start 1 end 9 params x=float(0,1):1 reports 0:1 5:nan user u={} system s=[] constraints c:1 d:-1 -> trial 3 number 3
        add 0 pruned values 3 end 9                       -> trial 4 number 4
        add 0 pruned end 9                                -> trial 5 number 5
        add 0 fail end 9 reports 0:7                      -> trial 6 number 6
        add 1 complete values 1 2 end 9                   -> trial 7 number 0
        show 0    -> a minimize, running 2, complete 1, pruned 2, fail 1, waiting 1, queue 0, at work 1 2, joint x, with pruned nothing
        show 1                                            -> two minimize maximize, complete 1, front 0
        show-trial 0 1                                    -> running, start 5
        show-trial 0 3  -> complete, values 2.0, start 1, end 9, params x=1.0 (float 0.0..1.0), reports 0:1.0 5:NaN, attrs u={} system s=[], constraints c:1.0 d:-1.0, violation 1.0
        show-trial 0 4                                    -> pruned, values 3.0, end 9
        show-trial 0 6                                    -> fail, end 9, reports 0:7.0
        complete-at 0 0                                   -> 1.0
        add 0 complete end 9                              -> rejected: 0 values for 1
        add 0 complete values 1 2 end 9                   -> rejected: 2 values for 1
        add 1 pruned values 1 end 9                       -> rejected: 1 values for 2
        add 0 complete values nan end 9                   -> rejected: nan
        add 0 waiting constraints c:nan                   -> rejected: nan
        add 0 complete values 1                           -> rejected: a trial has an end time exactly if it is finished
        add 0 running end 9                               -> rejected: a trial has an end time exactly if it is finished
        add 0 waiting reports 1:1 0:1                     -> rejected: reports must come by rising step
        add 0 waiting reports 1:1 1:1                     -> rejected: reports must come by rising step
        add 0 waiting reports 18446744073709551615:1      -> rejected: a step is too large
        add 0 waiting params x=float(0,1):nan             -> rejected: bad param x
        add 0 waiting user k=1 k=2 system k=1 k=2 constraints c:-1 c:5 -> trial 8 number 7
        show-trial 0 7                                    -> waiting, attrs k=2 system k=2, constraints c:-1.0
        claim 8 at 3 ; finish 8 complete 0 at 4           -> applied ; applied
        show 0    -> a minimize, running 2, complete 2, pruned 2, fail 1, waiting 1, queue 0, at work 1 2, best 7
    ";

    /// An unfinished trial may come with values, and they stay unless it ends with others.
    values_of_unfinished_templates: "
        study a minimize                                  -> study 0
        add 0 waiting values 1                            -> trial 0 number 0
        add 0 running values 2 start 3                    -> trial 1 number 1
        add 0 running values nan                          -> rejected: nan
        add 0 waiting values 1 2                          -> rejected: 2 values for 1
        show-trial 0 0                                    -> waiting, values 1.0
        show 0                                            -> a minimize, running 1, waiting 1, queue 0, at work 1
        finish 0 pruned at 4                              -> applied
        finish 1 complete 5 at 4                          -> applied
        show-trial 0 0                                    -> pruned, values 1.0, end 4
        show-trial 0 1                                    -> complete, values 5.0, start 3, end 4
    ";

    attributes: "
        study a minimize ; trial 0 at 1                   -> study 0 ; trial 0 number 0
        attr 0 b=1                                        -> applied
        attr 0 a={\"deep\":[1,NaN]}                       -> applied
        attr 0 b=2                                        -> applied
        system-attr 0 b=3                                 -> applied
        system-attr 0 b=4                                 -> applied
        show-trial 0 0                                    -> running, start 1, attrs a={\"deep\":[1,NaN]} b=2 system b=4
    ";

    /// The first value of a constraint stays. A trial that violates one is never the best.
    constraints: "
        study a minimize                                  -> study 0
        trial 0 at 1 ; trial 0 at 1 ; trial 0 at 1 ; trial 0 at 1 -> trial 0 number 0 ; trial 1 number 1 ; trial 2 number 2 ; trial 3 number 3
        constraint 0 c nan                                -> rejected: nan
        constraint 0 c 1                                  -> applied
        constraint 0 c -1                                 -> rejected: constraint set c
        constraint 0 c nan                                -> rejected: nan
        constraint 0 d 0.5                                -> applied
        constraint 1 c 0                                  -> applied
        constraint 1 d -inf                               -> applied
        constraint 2 c inf                                -> applied
        show-trial 0 0                                    -> running, start 1, constraints c:1.0 d:0.5, violation 1.5
        show-trial 0 1                                    -> running, start 1, constraints c:0.0 d:-inf
        show-trial 0 2                                    -> running, start 1, constraints c:inf, violation inf
        finish 0 complete 0 at 2                          -> applied
        finish 1 complete 2 at 2                          -> applied
        finish 2 complete 1 at 2                          -> applied
        finish 3 complete 3 at 2                          -> applied
        show 0                                            -> a minimize, complete 4, best 1 3
    ";

    /// Better first; among equals the one with the lower number, whenever it finished; -0.0 equals 0.0.
    the_best: "
        study a maximize                                  -> study 0
        trial 0 at 1 ; trial 0 at 1 ; trial 0 at 1 ; trial 0 at 1 -> trial 0 number 0 ; trial 1 number 1 ; trial 2 number 2 ; trial 3 number 3
        finish 3 complete 0 at 2                          -> applied
        finish 2 complete -0.0 at 2                       -> applied
        finish 1 complete 0 at 2                          -> applied
        show 0                                            -> a maximize, running 1, complete 3, at work 0, best 1 2 3
        finish 0 complete -inf at 2                       -> applied
        add 0 complete values inf end 1                   -> trial 4 number 4
        add 0 complete values 1 end 1                     -> trial 5 number 5
        add 0 pruned values inf end 1                     -> trial 6 number 6
        show 0                                            -> a maximize, complete 6, pruned 1, best 4 5 1 2 3 0
    ";

    /// Equal trials do not dominate one another; constraints come first.
    several_objectives: "
        study a minimize maximize                         -> study 0
        add 0 complete values 1 1 end 1                   -> trial 0 number 0
        add 0 complete values 2 2 end 1                   -> trial 1 number 1
        add 0 complete values 1 1 end 1                   -> trial 2 number 2
        add 0 complete values 3 1 end 1                   -> trial 3 number 3
        show 0                                            -> a minimize maximize, complete 4, front 0 1 2
        add 0 complete values 0 9 end 1 constraints c:0.1 -> trial 4 number 4
        add 0 pruned values 0 9 end 1                     -> trial 5 number 5
        show 0                                            -> a minimize maximize, complete 5, pruned 1, front 0 1 2
        add 0 complete values 1 2 end 1                   -> trial 6 number 6
        show 0                                            -> a minimize maximize, complete 6, pruned 1, front 6
        add 0 complete values -inf -inf end 1             -> trial 7 number 7
        add 0 complete values inf inf end 1               -> trial 8 number 8
        show 0                                            -> a minimize maximize, complete 8, pruned 1, front 6 7 8
    ";

    /// What all finished trials share with equal distributions; failed ones do not count.
    joint_spaces: "
        study a minimize                                  -> study 0
        add 0 complete values 1 end 1 params x=float(0,1):1 y=int(0,1):1 z=int(0,1):1 -> trial 0 number 0
        show 0                                            -> a minimize, complete 1, best 0, joint x y z
        add 0 fail end 1                                  -> trial 1 number 1
        add 0 running params x=float(0,1):1               -> trial 2 number 2
        add 0 pruned end 1 params y=int(0,1):0 x=float(0,1):1 -> trial 3 number 3
        show 0 -> a minimize, running 1, complete 1, pruned 1, fail 1, at work 2, best 0, joint x y z, with pruned x y
        add 0 complete values 1 end 1 params x=float(0,2):1 y=int(0,1):1 z=int(0,1):1 -> trial 4 number 4
        show 0 -> a minimize, running 1, complete 2, pruned 1, fail 1, at work 2, best 0 4, joint y z, with pruned y
        finish 2 complete 0 at 2                          -> applied
        show 0 -> a minimize, complete 3, pruned 1, fail 1, best 2 0 4
        add 0 complete values 5 end 1 params w=int(0,1):1 -> trial 5 number 5
        show 0 -> a minimize, complete 4, pruned 1, fail 1, best 2 0 4 5
    ";

    /// A report is overwritten by a later one for its step; the order in which they come does not matter.
    reports: "
        study a minimize ; trial 0 at 1                   -> study 0 ; trial 0 number 0
        report 0 5 5                                      -> applied
        report 0 1 1                                      -> applied
        report 0 18446744073709551614 8                   -> applied
        report 0 18446744073709551615 9                   -> rejected: a step is too large
        report 0 3 nan                                    -> applied
        report 0 5 -inf                                   -> applied
        report 0 0 -0.0                                   -> applied
        show-trial 0 0  -> running, start 1, reports 0:-0.0 1:1.0 3:NaN 5:-inf 18446744073709551614:8.0
        complete-at 0 5                                   -> nothing
        finish 0 complete 1 at 2                          -> applied
        complete-at 0 0                                   -> -0.0
        complete-at 0 3                                   -> nothing
        complete-at 0 4                                   -> nothing
        complete-at 0 5                                   -> -inf
        complete-at 0 18446744073709551614                -> 8.0
        complete-at 0 18446744073709551615                -> nothing
        add 0 pruned end 1 reports 5:7                    -> trial 1 number 1
        add 0 complete values 1 end 1 reports 5:-7        -> trial 2 number 2
        complete-at 0 5                                   -> -inf -7.0
    ";

    /// A later version's ops: passed over, but their record counts.
    skipped: "
        skipped 200                                       -> skipped
        sampled-at 7                                      -> applied
        study a minimize ; skipped 0 ; trial 0 at 1       -> study 0 ; skipped ; trial 0 number 0
        records                                           -> 3
    ";

    /// No time is too strange to be kept, but for the one that stands for none.
    times: "
        study a minimize                                  -> study 0
        trial 0 at -9223372036854775807                   -> trial 0 number 0
        finish 0 fail at 9223372036854775807              -> applied
        show-trial 0 0                                    -> fail, start -9223372036854775807, end 9223372036854775807
        trial 0 at -9223372036854775808                   -> trial 1 number 1
        show-trial 0 1                                    -> running
    ";
}

#[test]
fn every_op_and_every_reason_has_a_case() {
    let mut seen = Seen::default();
    for table in TABLES
        .iter()
        .chain(crate::lease_cases::TABLES)
        .chain(crate::void_cases::TABLES)
        .chain(crate::metric_cases::TABLES)
    {
        let of_table = run(table).unwrap();
        seen.ops.extend(of_table.ops);
        seen.reasons.extend(of_table.reasons);
    }
    let ops: Vec<_> = OP_NAMES.iter().filter(|name| !seen.ops.contains(*name)).collect();
    assert!(ops.is_empty(), "no table has these ops: {ops:?}");
    // `Full` wants four thousand million of something, and the other one has a test of its own.
    let elsewhere = ["Full", "TooManyChanges"];
    let reasons = reasons().filter(|name| !elsewhere.contains(name) && !seen.reasons.contains(*name));
    assert_eq!(reasons.collect::<Vec<_>>(), Vec::<&str>::new(), "no table has these reasons");
}

/// The variants of `Reason`, read from where it is declared, since the enum may grow.
fn reasons() -> impl Iterator<Item = &'static str> {
    let source = include_str!("../../src/verdict.rs");
    let (_, body) = source.split_once("pub enum Reason {").unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let variants = body.lines().filter_map(|line| line.strip_prefix("    "));
    variants.filter(|line| line.starts_with(char::is_uppercase)).map(|line| line.trim_end_matches([',', '{', ' ']))
}

#[test]
fn the_declared_reasons_are_found() {
    assert!(
        reasons().count() >= 17 && reasons().any(|name| name == "StudyExists") && reasons().any(|n| n == "Full")
    );
}

/// A wrong verdict, a wrong answer, a line without an expectation and one that cannot be read are all found.
#[test]
fn canary_wrong_tables_fail() {
    let wrong = run("
        study a minimize -> study 0
        study a minimize -> study 1
        show 0           -> a maximize
        trial 0 at 1
        fly 0            -> applied
    ");
    let wrong = wrong.unwrap_err();
    for line in [
        "line 3: study a minimize\n  expected: study 1\n  found:    rejected: study exists 0",
        "line 4: show 0\n  expected: a maximize\n  found:    a minimize",
        "line 5: trial 0 at 1\n  expected: no expectation\n  found:    trial 0 number 0",
        "line 6: fly 0\n  expected: applied\n  found:    cannot read this line: no op reads \"fly 0\"",
    ] {
        assert!(wrong.contains(line), "{line}\nis not in\n{wrong}");
    }
    assert!(!wrong.contains("line 2"));
}
