use rekindle_cmdb::{Attempts, Register};
use rekindle_domain::{Digest, RunId};
use rekindle_step::ErrorName;

use crate::objects::{at, machine, revision};

pub async fn a_failed_run_counts_once(register: Register) {
    let (machine, work): (_, Digest) = (machine(), revision("work"));
    assert_eq!(register.attempts(&machine, &work).await.unwrap(), Attempts::default());
    let (first, second) = (RunId::mint(), RunId::mint());
    let error = ErrorName::ObjectCorrupt;
    for (run, seconds, count) in [(&first, 1, 1), (&first, 1, 1), (&second, 2, 2), (&first, 3, 2)] {
        let attempts = register
            .record_failure(
                &machine,
                &work,
                run,
                error,
                "its bytes are others",
                at(seconds),
                at(seconds + 60),
            )
            .await
            .unwrap();
        assert_eq!(attempts.count, count);
    }
    let attempts = register.attempts(&machine, &work).await.unwrap();
    assert_eq!((attempts.last_run, attempts.next_try_at), (Some(second.clone()), Some(at(62))));
    assert_eq!(attempts.error.as_deref(), Some("Agent.ObjectCorrupt"));
    let newest = register.machine_state(&machine).await.unwrap().newest_failure.unwrap();
    assert_eq!((newest.run_id, newest.at), (second, at(2)));
    assert_eq!(register.attempts(&machine, &revision("other work")).await.unwrap().count, 0);
}

pub async fn an_older_failure_counts_but_is_not_the_newest(register: Register) {
    let machine = machine();
    let (late, early) = (RunId::mint(), RunId::mint());
    for (work, run, seconds) in [("one", &late, 9), ("two", &early, 5)] {
        register
            .record_failure(&machine, &revision(work), run, ErrorName::DiskFull, "full", at(seconds), at(60))
            .await
            .unwrap();
    }
    assert_eq!(register.attempts(&machine, &revision("two")).await.unwrap().count, 1);
    let newest = register.machine_state(&machine).await.unwrap().newest_failure.unwrap();
    assert_eq!(newest.run_id, late);
}
