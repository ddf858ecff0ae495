//! The cases of leases, losses, retries and budgets, in the table language.

use crate::cases::tables;
use crate::table::check;

tables! {
    /// A worker is all sessions that share the first twelve bytes of their ids.
    workers: "
        worker me                                         -> none
        study a minimize                                  -> study 0
        worker me                                         -> worker 0, last 0
        @you trial 0 at 1                                 -> trial 0 number 0
        @you/1 trial 0 at 1                               -> trial 1 number 1
        @you/4294967295 lease 250                         -> applied
        worker you                                        -> worker 1, last 3, lease 250, runs 0 1
        session you/1                                     -> 2
        finish 0 fail at 2                                -> applied
        worker you                                        -> worker 1, last 3, lease 250, runs 1
        @you/1 requeue 1                                  -> applied
        worker you                                        -> worker 1, last 5, lease 250
        claim 1 at 3                                      -> applied
        worker me                                         -> worker 0, last 6, runs 1
        again                                             -> repeated
        worker me                                         -> worker 0, last 6, runs 1
        add 0 running start 1                             -> trial 2 number 2
        worker me                                         -> worker 0, last 8, runs 1
        @#9 lease 1                                       -> rejected: no session
        worker me                                         -> worker 0, last 8, runs 1
        @you lease 0                                      -> applied
        worker you                                        -> worker 1, last 10
        delete 0                                          -> applied
        worker me                                         -> worker 0, last 11
    ";

    /// Who makes progress is not lost, and who took no lease never is.
    conditions_of_losing: "
        study a minimize                                  -> study 0
        @you trial 0 at 1                                 -> trial 0 number 0
        lost 1 seen 1 at 9                                -> rejected: no lease 1
        lost 2 seen 1 at 9                                -> rejected: no worker 2
        lost 4294967295 seen 1 at 9                       -> rejected: no worker 4294967295
        @you lease 100                                    -> applied
        lost 1 seen 1 at 9                                -> rejected: progress 1 last 5
        lost 1 seen 6 at 9                                -> rejected: progress 1 last 5
        @you/1 report 0 0 1                               -> applied
        lost 1 seen 5 at 9                                -> rejected: progress 1 last 8
        lost 1 seen 8 at 9 ; lost 1 seen 8 at 9           -> lost 1 retries 0 ; rejected: idle 1
        lost 1 seen 8 at 9                                -> rejected: idle 1
        worker you                                        -> worker 1, last 8, lease 100
        show 0                                            -> a minimize, fail 1
        show-trial 0 0 -> fail, start 1, end 9, reports 0:1.0, attrs system trialog:lost=true, lost for good
        @you lease 0 ; trial 0 at 2                       -> applied ; trial 1 number 1
        lost 1 seen 13 at 9                               -> rejected: no lease 1
    ";

    /// All running trials of a worker are lost at once, whatever their study; those of others and of nobody are not.
    what_is_lost: "
        study a minimize                                  -> study 0
        study b maximize minimize                         -> study 1
        retries 1 1                                       -> applied
        add 0 waiting                                     -> trial 0 number 0
        add 0 running start 1                             -> trial 1 number 1
        @you lease 10 ; trial 0 at 1 ; trial 1 at 1 ; claim 0 at 1 -> applied ; trial 2 number 2 ; trial 3 number 0 ; applied
        trial 0 at 1                                      -> trial 4 number 3
        @you/1 trial 0 at 1 ; finish 5 complete 1 at 2    -> trial 5 number 4 ; applied
        worker you                                        -> worker 1, last 7, lease 10, runs 0 2 3
        lost 1 seen 7 at 9                                -> lost 3 retries 1
        show 0        -> a minimize, running 2, complete 1, fail 2, at work 1 3, best 4
        show 1                                            -> b maximize minimize, retries 1, fail 1, waiting 1, queue 1
        where 6                                           -> study 1 number 1
    ";

    /// Attempt k of trial n: parameters and notes at hand, and Optuna's names for what it is.
    retries: "
        study a minimize                                  -> study 0
        retries 0 101                                     -> rejected: more than 100 retries
        retries 1 1                                       -> rejected: no study 1
        retries 0 2                                       -> applied
        add 0 waiting user note=1 system fixed_params={} other=2 -> trial 0 number 0
        @b lease 10 ; claim 0 at 1                        -> applied ; applied
        @b params 0 x=float(0,1):0.5 ; params 0 x=float(0,2):1.5 y=float(0,1):0 -> applied ; applied
        @b report 0 3 0.5 ; constraint 0 c 1              -> applied ; applied
        lost 1 seen 7 at 9                                -> lost 1 retries 1
        show-trial 0 0 -> fail, start 1, end 9, params x=1.5 (float 0.0..2.0) y=0.0 (float 0.0..1.0), reports 3:0.5, attrs note=1 system fixed_params={} other=2 trialog:lost=true trialog:retried_by=1, constraints c:1.0, lost for good, violation 1.0
        show-trial 0 1 -> waiting, params x=1.5 (float 0.0..2.0) y=0.0 (float 0.0..1.0), attrs note=1 system failed_trial=0 fixed_params={} retry_history=[0], again 0
        retries 0 2 reports                               -> applied
        @c lease 10 ; claim 1 at 11 ; report 1 1 7        -> applied ; applied ; applied
        lost 2 seen 10 at 19                              -> lost 1 retries 1
        show-trial 0 2 -> waiting, params x=1.5 (float 0.0..2.0) y=0.0 (float 0.0..1.0), reports 1:7.0, attrs note=1 system failed_trial=0 fixed_params={} retry_history=[0,1], again 0 1
        @b claim 2 at 20                                  -> applied
        lost 1 seen 12 at 29                              -> lost 1 retries 0
        show 0                                            -> a minimize, retries 2 with reports, fail 3
        show-trial 0 2 -> fail, start 20, end 29, params x=1.5 (float 0.0..2.0) y=0.0 (float 0.0..1.0), reports 1:7.0, attrs note=1 system failed_trial=0 fixed_params={} retry_history=[0,1] trialog:lost=true, lost for good, again 0 1
    ";

    /// Nobody has begun another attempt, so the first valid end is the one that comes late; its trial counts.
    a_lost_trial_comes_back_in_time: "
        study a minimize                                  -> study 0
        retries 0 1                                       -> applied
        @b lease 10 ; trial 0 at 1                        -> applied ; trial 0 number 0
        lost 1 seen 2 at 9                                -> lost 1 retries 1
        @b params 0 x=float(0,1):0.5 ; report 0 1 0.25    -> applied ; applied
        @b attr 0 k=1 ; system-attr 0 k=2 ; constraint 0 c 0 -> applied ; applied ; applied
        claim 0 at 10 ; requeue 0                         -> rejected: not waiting 0 ; rejected: not running 0
        @b finish 0 complete 1 2 at 20                    -> rejected: 2 values for 1
        @b finish 0 complete 0.5 at 20                    -> applied
        show 0                                            -> a minimize, retries 1, complete 1, fail 1, best 0, joint x
        show-trial 0 0 -> complete, values 0.5, start 1, end 20, params x=0.5 (float 0.0..1.0), reports 1:0.25, attrs k=1 system k=2 trialog:lost=true trialog:retried_by=1, constraints c:0.0
        show-trial 0 1                                    -> fail, end 20, attrs system failed_trial=0 retry_history=[0] trialog:withdrawn=true, again 0
        complete-at 0 1                                   -> 0.25
        @b finish 0 complete 0.5 at 21                    -> rejected: finished 0 complete
        claim 1 at 21                                     -> rejected: finished 1 fail
        trial 0 at 22 ; finish 2 pruned at 23             -> trial 2 number 2 ; applied
    ";

    /// Without a policy nobody tries again, and a lost trial may come back at any time.
    a_lost_trial_that_nobody_tries_again: "
        study a minimize                                  -> study 0
        @b lease 10 ; trial 0 at 1 ; trial 0 at 1         -> applied ; trial 0 number 0 ; trial 1 number 1
        lost 1 seen 1 at 9                                -> lost 2 retries 0
        finish 0 pruned 3 at 20                           -> applied
        show-trial 0 0                                    -> pruned, values 3.0, start 1, end 20, attrs system trialog:lost=true
        @b finish 1 fail at 20                            -> late 1
        @b finish 1 complete 1 at 20                      -> rejected: finished 1 fail
        show-trial 0 1 -> fail, start 1, end 9, attrs system trialog:late={\"state\":\"fail\",\"values\":[],\"end\":20} trialog:lost=true, lost for good, late fail [] 20
        show 0                                            -> a minimize, pruned 1, fail 1
    ";

    /// Once another attempt has begun it is the one that counts; a late end is kept, once.
    a_lost_trial_comes_back_too_late: "
        study a minimize minimize                         -> study 0
        retries 0 1                                       -> applied
        @b lease 10 ; trial 0 at 1                        -> applied ; trial 0 number 0
        lost 1 seen 2 at 9                                -> lost 1 retries 1
        claim 1 at 10                                     -> applied
        @b report 0 1 0.25                                -> applied
        @b finish 0 complete inf -0.0 at 20               -> late 0
        show-trial 0 0 -> fail, start 1, end 9, reports 1:0.25, attrs system trialog:late={\"state\":\"complete\",\"values\":[Infinity,-0.0],\"end\":20} trialog:lost=true trialog:retried_by=1, lost for good, late complete [inf, -0.0] 20
        @b finish 0 complete 1 2 at 21                    -> rejected: finished 0 fail
        @b report 0 2 0.25                                -> rejected: finished 0 fail
        finish 1 complete 1 2 at 22                       -> applied
        show 0                                            -> a minimize minimize, retries 1, complete 1, fail 1, front 1
    ";

    /// Of several attempts that were all lost the first to come back counts, and the others are late.
    the_first_of_several_lost_attempts: "
        study a minimize                                  -> study 0
        retries 0 9                                       -> applied
        @b lease 10 ; trial 0 at 1                        -> applied ; trial 0 number 0
        lost 1 seen 2 at 9                                -> lost 1 retries 1
        @c lease 10 ; claim 1 at 11                       -> applied ; applied
        lost 2 seen 4 at 19                               -> lost 1 retries 1
        @b finish 0 complete 1 at 20                      -> applied
        @c finish 1 complete 1 at 21                      -> late 1
        show 0                                            -> a minimize, retries 9, complete 1, fail 2, best 0
        show-trial 0 2 -> fail, end 20, attrs system failed_trial=0 retry_history=[0,1] trialog:withdrawn=true, again 0 1
        trial 0 at 22                                     -> trial 3 number 3
    ";

    deleted_while_lost: "
        study a minimize                                  -> study 0
        retries 0 1                                       -> applied
        @b lease 10 ; trial 0 at 1 ; trial 0 at 1         -> applied ; trial 0 number 0 ; trial 1 number 1
        lost 1 seen 2 at 9                                -> lost 2 retries 2
        @b claim 2 at 10                                  -> applied
        delete 0                                          -> applied
        worker b                                          -> worker 1, last 4, lease 10
        @b finish 0 complete 1 at 20                      -> rejected: study deleted 0
        lost 1 seen 4 at 30                               -> rejected: progress 1 last 6
        lost 1 seen 6 at 30                               -> rejected: idle 1
    ";

    budget_of_trials: "
        study a minimize                                  -> study 0
        budget 1 trials 1                                 -> rejected: no study 1
        budget 0 trials 3                                 -> applied
        trial 0 at 1 ; trial 0 at 1                       -> trial 0 number 0 ; trial 1 number 1
        finish 0 fail at 2                                -> applied
        add 0 waiting                                     -> trial 2 number 2
        add 0 waiting                                     -> trial 3 number 3
        claim 2 at 3                                      -> applied
        claim 3 at 3                                      -> rejected: budget spent 0
        trial 0 at 3                                      -> rejected: budget spent 0
        finish 3 fail at 4                                -> applied   # it never began, and takes nobody's place
        trial 0 at 4                                      -> rejected: budget spent 0
        requeue 2                                         -> applied
        trial 0 at 5                                      -> trial 4 number 4
        claim 2 at 6                                      -> rejected: budget spent 0
        budget 0                                          -> applied
        claim 2 at 6                                      -> applied
        show 0                                            -> a minimize, running 3, fail 2, at work 1 2 4
        budget 0 trials 0                                 -> applied
        trial 0 at 7                                      -> rejected: budget spent 0
        add 0 complete values 1 end 3                     -> trial 5 number 5
    ";

    /// Running trials hold places; a failure gives its own back, so that just so many end with a result.
    budget_of_finished_trials: "
        study a minimize                                  -> study 0
        budget 0 finished 2                               -> applied
        trial 0 at 1 ; trial 0 at 1 ; trial 0 at 1        -> trial 0 number 0 ; trial 1 number 1 ; rejected: budget reserved 0
        finish 0 fail at 2                                -> applied
        trial 0 at 3                                      -> trial 2 number 2
        finish 1 pruned at 4                              -> applied
        trial 0 at 5                                      -> rejected: budget reserved 0
        finish 2 complete 1 at 5                          -> applied
        trial 0 at 5                                      -> rejected: budget spent 0
        show 0                                            -> a minimize, finished max 2, complete 1, pruned 1, fail 1, best 2
    ";

    /// What a loss gave back may have gone to somebody else, and then even the first end is late.
    budget_and_late_results: "
        study a minimize                                  -> study 0
        budget 0 finished 1                               -> applied
        @b lease 10 ; trial 0 at 1                        -> applied ; trial 0 number 0
        trial 0 at 2                                      -> rejected: budget reserved 0
        lost 1 seen 2 at 9                                -> lost 1 retries 0
        trial 0 at 10                                     -> trial 1 number 1
        @b finish 0 complete 1 at 11                      -> late 0
        finish 1 complete 2 at 12                         -> applied
        show 0                                            -> a minimize, finished max 1, complete 1, fail 1, best 1
    ";

    /// The time is that in the op, not that of any reader.
    budget_of_time: "
        study a minimize                                  -> study 0
        budget 0 until 100 trials 5                       -> applied
        trial 0 at 99                                     -> trial 0 number 0
        trial 0 at 100                                    -> rejected: budget spent 0
        add 0 waiting                                     -> trial 1 number 1
        claim 1 at 101                                    -> rejected: budget spent 0
        claim 1 at -5                                     -> applied
        finish 1 complete 1 at 500                        -> applied
        show 0                                            -> a minimize, trials max 5, until 100, running 1, complete 1, at work 0, best 1
    ";
}
