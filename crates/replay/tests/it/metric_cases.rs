//! The cases of named metrics, in the table language.

use crate::cases::tables;
use crate::table::check;

tables! {
    /// Each metric has its own column and order statistics, apart from the reports without a name.
    metrics_are_columns: "
        study a minimize ; trial 0 at 1 ; trial 0 at 1    -> study 0 ; trial 0 number 0 ; trial 1 number 1
        measure 0 3 loss:0.5 acc:0.75                     -> applied
        measure 0 1 loss:2 ; measure 0 3 m1:0.875         -> applied ; applied
        report 0 3 9                                      -> applied
        measure 1 4 acc:nan m0:-inf                       -> applied
        metric-keys                                       -> loss acc
        show 0                                            -> a minimize, reported acc loss, running 2, at work 0 1
        show-trial 0 0 -> running, start 1, reports 3:9.0, acc 3:0.875, loss 1:2.0 3:0.5
        show-trial 0 1 -> running, start 1, acc 4:NaN, loss 4:-inf
        reports-of 0 0 loss                               -> 1:2.0 3:0.5
        reports-of 0 0 f1                                 -> 
        last-step 0 loss                                  -> none
        finish 0 complete 1 at 2 ; finish 1 complete 1 at 2 -> applied ; applied
        complete-at 0 3 loss                              -> 0.5
        complete-at 0 3 acc                               -> 0.875
        complete-at 0 3                                   -> 9.0
        complete-at 0 4 loss                              -> -inf
        complete-at 0 4 acc                               -> nothing
        complete-at 0 4 f1                                -> nothing
        last-step 0 loss                                  -> 4
        last-step 0 acc                                   -> 4
        last-step 0                                       -> 3
        last-step 0 f1                                    -> none
    ";

    /// A bad op takes nothing of itself, not even a name.
    bad_metrics: "
        study a minimize ; trial 0 at 1                   -> study 0 ; trial 0 number 0
        measure 7 1 loss:1                                -> rejected: no trial 7
        measure 0 1                                       -> rejected: bad metrics, there are none
        measure 0 1 loss:1 \"\":1                       -> rejected: bad metrics, a name is empty
        measure 0 1 loss:1 loss:2                         -> rejected: bad metrics, one is there twice
        measure 0 1 loss:1 m0:2                           -> rejected: no metric
        measure 0 18446744073709551615 loss:1             -> rejected: a step is too large
        metric-keys                                       -> 
        measure 0 18446744073709551614 loss:1             -> applied
        measure 0 1 loss:1 m0:2                           -> rejected: bad metrics, one is there twice
        measure 0 1 m1:2                                  -> rejected: no metric
        finish 0 fail at 2                                -> applied
        measure 0 1 loss:1                                -> rejected: finished 0 fail
        add 0 running metrics loss 1:1 loss 2:1           -> rejected: bad metrics, one is there twice
        add 0 running metrics acc                         -> rejected: a metric has no reports
        add 0 running metrics acc 2:1 1:1                 -> rejected: reports must come by rising step
        add 0 running metrics acc 18446744073709551615:1  -> rejected: a step is too large
        add 0 running metrics \"\" 1:1                  -> rejected: bad metrics, a name is empty
        add 0 running metrics m1 1:1                      -> rejected: no metric
        metric-keys                                       -> loss
        delete 0                                          -> applied
        measure 0 1 loss:1                                -> rejected: study deleted 0
        metric-keys                                       -> loss
    ";

    /// Trials come with metrics, leave with them when they are withdrawn, and hand them on to a further attempt.
    metrics_of_whole_trials: "
        study a maximize ; retries 0 1 reports            -> study 0 ; applied
        add 0 complete values 1 end 2 reports 1:5 metrics acc 1:0.5 4:0.25 f1 2:1 -> trial 0 number 0
        add 0 complete values 2 end 2 metrics m0 1:0.75   -> trial 1 number 1
        show-trial 0 0 -> complete, values 1.0, end 2, reports 1:5.0, acc 1:0.5 4:0.25, f1 2:1.0
        complete-at 0 1 acc                               -> 0.5 0.75
        last-step 0 acc                                   -> 4
        void 0 by ada at 9 for bug                        -> applied
        reports-of 0 0 acc                                -> 
        show-trial 0 0 -> fail, values 1.0, end 2, reports 1:5.0, acc 1:0.5 4:0.25, f1 2:1.0, void bug of complete told, changes voided by ada at 9 for bug in 3 by worker 0
        complete-at 0 1 acc                               -> 0.75
        last-step 0 acc                                   -> 1
        last-step 0 f1                                    -> none
        unvoid 0 by ada at 9 for fine                     -> applied
        complete-at 0 1 acc                               -> 0.5 0.75
        last-step 0 acc                                   -> 4
        @you lease 5 ; trial 0 at 1 ; measure 2 7 acc:1   -> applied ; trial 2 number 2 ; applied
        lost 1 seen 5 at 9                                -> lost 1 retries 1
        reports-of 0 3 acc                                -> 7:1.0
        measure 3 7 acc:2                                 -> applied
        reports-of 0 2 acc                                -> 7:1.0
    ";

    /// The only objective's name is the name of the reports that have none.
    the_objectives_name: "
        study a minimize ; metrics 0 loss ; trial 0 at 1  -> study 0 ; applied ; trial 0 number 0
        report 0 1 5 ; measure 0 1 acc:1                  -> applied ; applied
        reports-of 0 0 loss                               -> 1:5.0
        study b minimize minimize ; metrics 1 loss acc ; trial 1 at 1 -> study 1 ; applied ; trial 1 number 0
        report 1 1 5 ; measure 1 1 acc:1                  -> applied ; applied
        reports-of 1 0 loss                               -> 
        reports-of 1 0 acc                                -> 1:1.0
    ";
}

#[test]
fn names_have_a_length() {
    let name = |len: usize| "ä".repeat(len / 2) + &"x".repeat(len % 2);
    check(&format!(
        "study a minimize ; trial 0 at 1 -> study 0 ; trial 0 number 0
         measure 0 1 {}:1 -> applied
         measure 0 1 {}:1 -> rejected: bad metrics, a name is longer than 250 bytes",
        name(250),
        name(251)
    ));
}
