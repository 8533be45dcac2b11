use rekindle_cmdb::{Page, Register, RegisterError};
use rekindle_domain::{Image, Run, ServiceId, ServiceKey};

use crate::objects::{at, human_task, image, machine, recovery_run, refresh_run, service, service_key};

pub async fn services_are_read_page_by_page(register: Register) {
    let key = service_key();
    for number in 0..7 {
        let service_id = ServiceId::parse(&format!("service-{number}")).unwrap();
        let key = ServiceKey { service_id, ..key.clone() };
        register.put_service(&service(key), None).await.unwrap();
    }
    let all = register.services(&key.customer_id).await.unwrap();
    for limit in [1, 3, 7, 100] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = register.services_page(&key.customer_id, limit, after.as_deref()).await.unwrap();
            assert!(!page.items.is_empty() && page.items.len() <= limit);
            read.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(read, all, "{limit}");
    }
    assert!(register.put_customer(&key.customer_id).await.is_ok());
    assert!(register.is_customer(&key.customer_id).await.unwrap());
    assert!(!register.is_customer(&service_key().customer_id).await.unwrap());
}

pub async fn images_are_read_page_by_page_from_the_newest(register: Register) {
    let machine = machine();
    let mut registered = Vec::new();
    for sequence in [1, 2, 3, 4, 5] {
        let run = refresh_run(&machine);
        let taken = register.take_lease(&run, None).await.unwrap();
        // The ids are in the other order than the images.
        let image = image(&run, &format!("img-{}", 9 - sequence), sequence);
        register.register_image(&image, taken.lease.fence).await.unwrap();
        register.close_run(&run.run_id, None, None, at(2)).await.unwrap();
        register.release_lease(&run.run_id, at(3)).await.unwrap();
        registered.insert(0, image);
    }
    assert_eq!(register.images(&machine).await.unwrap(), registered);
    let first = register.images_page(&machine, 2, None).await.unwrap();
    let second = register.images_page(&machine, 2, first.next.as_deref()).await.unwrap();
    let third = register.images_page(&machine, 2, second.next.as_deref()).await.unwrap();
    assert!(first.next.is_some() && second.next.is_some() && third.next.is_none());
    let read: Vec<Image> = [first.items, second.items, third.items].concat();
    assert_eq!(read, registered);
    let all = register.images_page(&machine, 5, None).await.unwrap();
    assert_eq!(all, Page { items: registered, next: None });
}

pub async fn what_is_unfinished_is_read_page_by_page(register: Register) {
    for _ in 0..5 {
        let run = register.open_run(&recovery_run()).await.unwrap();
        register.ask(&human_task(&run.run_id), None).await.unwrap();
    }
    let all = register.unfinished_runs().await.unwrap();
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = register.unfinished_runs_page(2, after.as_deref()).await.unwrap();
        read.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(read, all);
    let tasks = register.open_human_tasks().await.unwrap();
    let first = register.open_human_tasks_page(3, None).await.unwrap();
    let rest = register.open_human_tasks_page(1_000, first.next.as_deref()).await.unwrap();
    assert_eq!([first.items, rest.items].concat(), tasks);
}

pub async fn ended_runs_are_read_page_by_page_from_the_newest(register: Register) {
    let mut ended = Vec::new();
    // Two of each moment, so that a page ends between runs of one moment.
    for number in 0..6 {
        let run = Run { opened_at: at(number / 2), ..recovery_run() };
        let run_id = register.open_run(&run).await.unwrap().run_id;
        register.close_run(&run_id, None, None, at(10)).await.unwrap();
        register.end_run(&run_id, at(11)).await.unwrap();
        ended.push(register.mark_reported(&run_id).await.unwrap());
    }
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = register.ended_runs_page(1, after.as_deref()).await.unwrap();
        read.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let times: Vec<_> = read.iter().map(|run| run.opened_at).collect();
    assert!(times.iter().rev().is_sorted(), "{times:?}");
    // Other cases may share the table.
    let listed = |run: &&Run| read.iter().filter(|other| other == run).count() == 1;
    assert_eq!(ended.iter().filter(listed).count(), ended.len(), "each once");
}

/// Whatever somebody makes of a position, it stays within its list.
pub async fn a_changed_position_leads_nowhere_else(register: Register) {
    let (mine, other) = (service_key(), service_key());
    register.put_service(&service(mine.clone()), None).await.unwrap();
    register.put_service(&service(other.clone()), None).await.unwrap();
    let foreign = format!("orders#CUSTOMER#{}", other.customer_id);
    for position in ["a", "zzz", &foreign] {
        let page = register.services_page(&mine.customer_id, 10, Some(position)).await.unwrap();
        assert!(page.items.iter().all(|service| service.key == mine), "{position}");
    }
    for position in ["", &"x".repeat(513)] {
        let error = register.services_page(&mine.customer_id, 10, Some(position)).await.unwrap_err();
        assert!(matches!(error, RegisterError::Invalid(_)), "{error:?}");
    }
    for position in ["", "x", "now#RUN", "2026-11-22T00:00:00Z#", "2026-11-22T00:00:00Z#a b"] {
        let error = register.unfinished_runs_page(10, Some(position)).await.unwrap_err();
        assert!(matches!(error, RegisterError::Invalid(_)), "{position}: {error:?}");
        let error = register.ended_runs_page(10, Some(position)).await.unwrap_err();
        assert!(matches!(error, RegisterError::Invalid(_)), "{position}: {error:?}");
    }
}
