use rekindle_cmdb::{ClientClaim, Register};
use rekindle_domain::RunId;
use serde_json::json;

use crate::objects::{at, revision};

fn claim(request: &str) -> ClientClaim {
    ClientClaim {
        request: revision(request),
        run_id: RunId::mint(),
        start: json!({ "reason": request, "at": null }),
        claimed_at: at(0),
    }
}

fn caller() -> String {
    format!("arn:caller/{}", RunId::mint())
}

pub async fn a_client_token_stands_for_its_first_request(register: Register) {
    let (caller, first) = (caller(), claim("fire"));
    assert_eq!(register.client_claim(&caller, "token").await.unwrap(), None);
    let claimed = register.claim_client_token(&caller, "token", &first).await.unwrap();
    assert_eq!(claimed, first);
    for again in [first.clone(), claim("fire"), claim("flood")] {
        let claimed = register.claim_client_token(&caller, "token", &again).await.unwrap();
        assert_eq!(claimed, first);
    }
    assert_eq!(register.client_claim(&caller, "token").await.unwrap(), Some(first));
}

pub async fn one_of_twenty_claims_a_client_token(register: Register) {
    let caller = caller();
    let claims: Vec<_> = (0..20)
        .map(|_| {
            let (register, caller) = (register.clone(), caller.clone());
            tokio::spawn(async move {
                let mine = claim("fire");
                let stored = register.claim_client_token(&caller, "token", &mine).await.unwrap();
                (mine, stored)
            })
        })
        .collect();
    let (mut winners, mut answers) = (0, Vec::new());
    for claim in claims {
        let (mine, stored) = claim.await.unwrap();
        winners += usize::from(stored == mine);
        answers.push(stored);
    }
    answers.dedup();
    assert_eq!((winners, answers.len()), (1, 1));
}

pub async fn a_client_token_belongs_to_its_caller(register: Register) {
    let caller = caller();
    let (mine, other) = (claim("mine"), claim("other's"));
    register.claim_client_token(&caller, "b token", &mine).await.unwrap();
    for (caller, token) in [("somebody", "b token"), (&*format!("{caller} b"), "token")] {
        assert_eq!(register.client_claim(caller, token).await.unwrap(), None);
    }
    let stranger = format!("{caller} b");
    register.claim_client_token(&stranger, "token", &other).await.unwrap();
    assert_eq!(register.client_claim(&caller, "b token").await.unwrap(), Some(mine));
}

pub async fn a_start_longer_than_an_item_is_kept(register: Register) {
    let caller = caller();
    let long = ClientClaim { start: json!("x".repeat(500_000)), ..claim("long") };
    register.claim_client_token(&caller, "token", &long).await.unwrap();
    assert_eq!(register.client_claim(&caller, "token").await.unwrap(), Some(long));
}
