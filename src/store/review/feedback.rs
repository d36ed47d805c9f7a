//! What a verdict says of the items of banks that had matched.

use std::collections::BTreeSet;

use super::{ReviewItem, Subject};
use crate::{
    domain::{
        bank::{Opinion, OpinionSource, Standing},
        curation::{DisableUntil, FeedbackRules},
        decision::Verdict,
        ids::KeyId,
        monitor::Purpose,
        time::Timestamp,
    },
    store::{
        banks::{Change, Life, Locked, NewOpinion, opine, release, shift},
        error::StoreError,
        transaction::WriteTx,
    },
};

/// Says a reviewer's verdict of every item that matched, in the bank that had the name then. `uncertain` says nothing, and neither do gold items, which say something of reviewers alone. Banks
/// and items that are there no more are passed over.
pub(super) async fn tell(
    tx: &mut WriteTx,
    item: &ReviewItem,
    (reviewer, verdict): (KeyId, Verdict),
    rules: FeedbackRules,
    now: Timestamp,
) -> Result<(), StoreError> {
    let opinion = match verdict {
        Verdict::Confirmed => Opinion::Confirm,
        Verdict::Rejected => Opinion::Dispute,
        Verdict::Uncertain => return Ok(()),
    };
    if item.provenance.purpose == Purpose::Gold {
        return Ok(());
    }
    if let Some(subject) = &item.subject {
        return tell_subject(tx, (item, subject), (reviewer, opinion), rules, now).await;
    }
    let matched: BTreeSet<(&str, i64)> = item.evidence.matches.iter().map(|hit| (hit.bank.as_str(), hit.content_id)).collect();
    for (bank, content_id) in matched {
        let said = async {
            let mut bank = Locked::find_as_of(tx, item.tenant, bank, item.created_at).await?;
            let new = NewOpinion { source: OpinionSource::Review, who: reviewer.to_string(), opinion };
            opine(tx, &mut bank, content_id, new, rules, now).await
        };
        match said.await {
            Ok(_) | Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Says the verdict of the item that was looked at after a flood. Whoever confirms it says that it matches rightly: it is in force again, and spared for a while.
/// Whoever rejects it says that it matches wrongly: a quarantined item is disabled until somebody's order.
async fn tell_subject(
    tx: &mut WriteTx,
    (item, subject): (&ReviewItem, &Subject),
    (reviewer, opinion): (KeyId, Opinion),
    rules: FeedbackRules,
    now: Timestamp,
) -> Result<(), StoreError> {
    let content_id = subject.content_id;
    let told = async {
        let mut bank = Locked::find_as_of(tx, item.tenant, &subject.bank, item.created_at).await?;
        let new = NewOpinion { source: OpinionSource::Review, who: reviewer.to_string(), opinion };
        if opine(tx, &mut bank, content_id, new, rules, now).await? == Standing::Retired {
            return Ok(());
        }
        let from = bank.life(tx, content_id).await?;
        if from.standing == Standing::Quarantined {
            let to = match opinion {
                Opinion::Confirm => Life { standing: Standing::Active, disable_until: DisableUntil::Never },
                Opinion::Dispute => Life { disable_until: DisableUntil::Always, ..from },
            };
            let change = Change { by: Some(reviewer), cause: "feedback", only_if: None };
            shift(tx, &mut bank, (content_id, from, to), change, now).await?;
        }
        match opinion {
            Opinion::Confirm => release(tx, &bank, content_id, now).await,
            Opinion::Dispute => Ok(()),
        }
    };
    match told.await {
        Err(StoreError::NotFound(_)) => Ok(()), // it is there no more
        told => told,
    }
}
