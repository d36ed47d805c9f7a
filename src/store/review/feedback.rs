//! What a verdict says of the items of banks that had matched.

use std::collections::BTreeSet;

use super::ReviewItem;
use crate::{
    domain::{
        bank::{Opinion, OpinionSource},
        curation::FeedbackRules,
        decision::Verdict,
        ids::KeyId,
        monitor::Purpose,
        time::Timestamp,
    },
    store::{
        banks::{Locked, NewOpinion, opine},
        error::StoreError,
        transaction::WriteTx,
    },
};

/// Says a reviewer's verdict of every item that matched. `uncertain` says nothing, and neither do gold items, which say something of reviewers alone. Banks
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
    let matched: BTreeSet<(&str, i64)> = item.evidence.matches.iter().map(|hit| (hit.bank.as_str(), hit.content_id)).collect();
    for (bank, content_id) in matched {
        let said = async {
            let mut bank = Locked::find(tx, item.tenant, bank).await?;
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
