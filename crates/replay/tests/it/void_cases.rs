//! The cases of withdrawing and amending finished trials, in the table language.

use crate::cases::tables;
use crate::table::check;

tables! {
    /// A withdrawn trial is a failed one to everybody, whatever it said stays there to be looked at, and it may come back.
    withdrawn_and_back: "
        study a minimize                                  -> study 0
        add 0 complete values 1 start 1 end 2 params x=float(0,1):1 reports 0:5 3:1 -> trial 0 number 0
        add 0 complete values 2 start 1 end 2 params k0:1 reports 0:4 2:2 -> trial 1 number 1
        add 0 pruned values 3 start 1 end 2 params k0:1 y=int(1,3):2 -> trial 2 number 2
        show 0                                            -> a minimize, complete 2, pruned 1, best 0 1, joint x
        void 0 by ada at 9 for bug                        -> applied
        void 0 by bob at 9 for bug                        -> rejected: void 0
        show 0                                            -> a minimize, complete 1, pruned 1, fail 1, best 1, joint x
        show-trial 0 0 -> fail, values 1.0, start 1, end 2, params x=1.0 (float 0.0..1.0), reports 0:5.0 3:1.0, void bug of complete told, changes voided by ada at 9 for bug in 4 by worker 0
        complete-at 0 0                                   -> 4.0
        complete-at 0 3                                   -> nothing
        void 1 by ada at 9 for bug                        -> applied
        show 0                    -> a minimize, pruned 1, fail 2, joint , with pruned x y
        @you unvoid 0 by bob at 10 for fine               -> applied
        unvoid 0 by bob at 10 for fine                    -> rejected: not void 0
        show-trial 0 0 -> complete, values 1.0, start 1, end 2, params x=1.0 (float 0.0..1.0), reports 0:5.0 3:1.0, changes voided by ada at 9 for bug in 4 by worker 0; unvoided by bob at 10 for fine in 7 by worker 1
        complete-at 0 3                                   -> 1.0
        void 2 by ada at 11 for bug ; void 0 by ada at 11 for bug ; unvoid 1 by ada at 11 for fine -> applied ; applied ; applied
        show 0                                            -> a minimize, complete 1, fail 2, best 1, joint x
    ";

    only_the_finished: "
        study a minimize                                  -> study 0
        trial 0 at 1                                      -> trial 0 number 0
        add 0 waiting                                     -> trial 1 number 1
        void 0 by ada at 1 for fun                        -> rejected: not finished 0 running
        void 1 by ada at 1 for fun                        -> rejected: not finished 1 waiting
        unvoid 0 by ada at 1 for fun                      -> rejected: not finished 0 running
        amend 0 values 1 by ada at 1 for fun              -> rejected: not finished 0 running
        undo 0 0 by ada at 1 for fun                      -> rejected: not finished 0 running
        void 2 by ada at 1 for fun                        -> rejected: no trial 2
        unvoid 2 by ada at 1 for fun                      -> rejected: no trial 2
        amend 2 values 1 by ada at 1 for fun              -> rejected: no trial 2
        undo 2 0 by ada at 1 for fun                      -> rejected: no trial 2
        finish 0 fail at 2                                -> applied
        delete 0                                          -> applied
        void 0 by ada at 1 for fun                        -> rejected: study deleted 0
        amend 0 values 1 by ada at 1 for fun              -> rejected: study deleted 0
        undo 0 0 by ada at 1 for fun                      -> rejected: study deleted 0
        unvoid 0 by ada at 1 for fun                      -> rejected: study deleted 0
    ";

    /// A former value is kept with each amendment, and any of them can be taken back, in any order.
    amended: "
        study a maximize                                  -> study 0
        add 0 complete values 1 start 1 end 2 user k=1 constraints c:1 -> trial 0 number 0
        add 0 complete values 2 start 1 end 2             -> trial 1 number 1
        show 0                                            -> a maximize, complete 2, best 1
        amend 0 by ada at 3 for fun                       -> rejected: no change
        amend 0 values by ada at 3 for fun                -> rejected: 0 values for 1
        amend 0 values 1 2 by ada at 3 for fun            -> rejected: 2 values for 1
        amend 0 values NaN by ada at 3 for fun            -> rejected: nan
        amend 0 constraints c:NaN by ada at 3 for fun     -> rejected: nan
        amend 0 constraints c:-1 d:0 by ada at 3 for unit -> applied
        show 0                                            -> a maximize, complete 2, best 1 0
        amend 0 values 3 user k=2 n=[] by ada at 4 for unit -> applied
        show 0                                            -> a maximize, complete 2, best 0 1
        amend 0 state pruned user k by ada at 5 for early -> applied
        show 0                                            -> a maximize, complete 1, pruned 1, best 1
        show-trial 0 0 -> pruned, values 3.0, start 1, end 2, attrs n=[], constraints c:-1.0 d:0.0, changes amended by ada at 3 for unit in 8 by worker 0; amended by ada at 4 for unit in 9 by worker 0; amended by ada at 5 for early in 10 by worker 0, amendments 0: c:-1.0 d:0.0 was c:1.0 d:nothing; 1: [3.0] k=2 n=[] was [1.0] k=1 n=nothing; 2: pruned k=nothing was complete k=2
        undo 0 1 by ada at 6 for wrong                    -> applied
        undo 0 1 by ada at 6 for wrong                    -> rejected: not in force 0 1
        undo 0 3 by ada at 6 for wrong                    -> rejected: not in force 0 3
        undo 1 0 by ada at 6 for wrong                    -> rejected: not in force 1 0
        undo 0 2 by ada at 6 for wrong                    -> applied
        undo 0 0 by ada at 6 for wrong                    -> applied
        show-trial 0 0 -> complete, values 1.0, start 1, end 2, attrs k=1, constraints c:1.0, changes amended by ada at 3 for unit in 8 by worker 0; amended by ada at 4 for unit in 9 by worker 0; amended by ada at 5 for early in 10 by worker 0; undone 1 by ada at 6 for wrong in 11 by worker 0; undone 2 by ada at 6 for wrong in 15 by worker 0; undone 0 by ada at 6 for wrong in 16 by worker 0, amendments 0 (undone): c:-1.0 d:0.0 was c:1.0 d:nothing; 1 (undone): [3.0] k=2 n=[] was [1.0] k=1 n=nothing; 2 (undone): pruned k=nothing was complete k=2, violation 1.0
        show 0                                            -> a maximize, complete 2, best 1
    ";

    /// A trial never ends up without the values that its state needs, whatever is taken back.
    amended_states: "
        study a minimize maximize                         -> study 0
        add 0 complete values 1 1 start 1 end 2 reports 4:1 -> trial 0 number 0
        add 0 complete values 2 2 start 1 end 2           -> trial 1 number 1
        add 0 complete values 3 1 start 1 end 2           -> trial 2 number 2
        add 0 fail end 2                                  -> trial 3 number 3
        show 0                                            -> a minimize maximize, complete 3, fail 1, front 0 1
        amend 1 state fail values by ada at 3 for broken  -> applied
        amend 0 state fail by ada at 3 for broken         -> applied
        show 0                                            -> a minimize maximize, complete 1, fail 3, front 2
        amend 0 values by ada at 3 for broken             -> applied
        undo 0 0 by ada at 4 for fine                     -> rejected: 0 values for 2
        amend 0 state complete by ada at 4 for fine       -> rejected: 0 values for 2
        undo 0 1 by ada at 4 for fine ; undo 0 0 by ada at 4 for fine -> applied ; applied
        amend 3 state complete values 0 9 by ada at 4 for late -> applied
        show 0                                            -> a minimize maximize, complete 3, fail 1, front 3
        void 3 by ada at 5 for bug                        -> applied
        amend 3 values 1 1 by ada at 5 for bug            -> rejected: void 3
        undo 3 0 by ada at 5 for bug                      -> rejected: void 3
        show 0                                            -> a minimize maximize, complete 2, fail 2, front 0
        unvoid 3 by ada at 5 for bug                      -> applied
        show 0                                            -> a minimize maximize, complete 3, fail 1, front 3
    ";

    /// A withdrawn trial has begun, and its place in a budget of results is free again.
    budgets: "
        study a minimize                                  -> study 0
        budget 0 finished 1                               -> applied
        trial 0 at 1                                      -> trial 0 number 0
        finish 0 complete 1 at 2                          -> applied
        trial 0 at 3                                      -> rejected: budget spent 0
        void 0 by ada at 4 for bug                        -> applied
        trial 0 at 5                                      -> trial 1 number 1
        unvoid 0 by ada at 6 for fine                     -> applied
        finish 1 complete 2 at 7                          -> applied
        budget 0 trials 3                                 -> applied
        void 0 by ada at 8 for bug                        -> applied
        trial 0 at 9                                      -> trial 2 number 2
        trial 0 at 9                                      -> rejected: budget spent 0
    ";

    /// Once somebody has decided about a lost trial, its worker is not heard any more.
    lost_trials: "
        study a minimize                                  -> study 0
        @you lease 5 ; trial 0 at 1                       -> applied ; trial 0 number 0
        lost 1 seen 1 at 9                                -> lost 1 retries 0
        void 0 by ada at 10 for bug                       -> applied
        @you finish 0 complete 1 at 11                    -> rejected: finished 0 fail
        @you report 0 1 1                                 -> rejected: finished 0 fail
        unvoid 0 by ada at 12 for fine                    -> applied
        show-trial 0 0 -> fail, start 1, end 9, attrs system trialog:lost=true, lost for good, changes voided by ada at 10 for bug in 3 by worker 0; unvoided by ada at 12 for fine in 6 by worker 0
    ";
}

/// The cost of a change is bounded by their number.
#[test]
fn changes_come_to_an_end() {
    let mut table = String::from(
        "study a minimize -> study 0
         add 0 complete values 1 end 2 -> trial 0 number 0\n",
    );
    for _ in 0..50 {
        table += "void 0 by ada at 1 for fun -> applied\nunvoid 0 by ada at 1 for fun -> applied\n";
    }
    table += "void 0 by ada at 1 for fun -> rejected: more than 100 changes\n";
    check(&table);
}
