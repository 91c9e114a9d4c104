//! The CA, invitations and boxes on a stream, as of one moment; and back into a core that has no CA.
//!
//! The CA's key goes as it stands in the records: sealed, of no use without the seal file of the core nodes.

use super::{Door, End};
use crate::{
    enrol::{EnrolCommand, EnrolOutcome, record},
    meta::{MetaAnswer, MetaCommand},
    raft::types::META,
};
use schulhof_net::quic::FrameWriter;
use schulhof_wire::backup::{FromCore, RECORDS_LEN, Record};
use std::time::Duration;
use tokio::time::timeout;

/// An operator that takes no frame for this long is given up.
const WRITE_MAX: Duration = Duration::from_secs(30);

pub async fn send(door: &Door, writer: &mut FrameWriter<FromCore>) -> End {
    let records = match read(door).await {
        Ok(records) => records,
        Err(instead) => return Some(instead),
    };
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        let (mut page, mut len) = (Vec::new(), 0);
        while let Some((key, value)) = records.next_if(|_| len < RECORDS_LEN) {
            len += key.len() + value.len();
            page.push((key, value));
        }
        match timeout(WRITE_MAX, writer.write(&FromCore::Records { records: page })).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
    Some(FromCore::Whole)
}

/// Some 30 MB for the most boxes that are kept.
async fn read(door: &Door) -> Result<Vec<Record>, FromCore> {
    door.groups.confirm(META).await.map_err(|e| door.instead(&e))?;
    let store = door.groups.get(META).ok_or_else(|| door.redirect(None))?.store.clone();
    match tokio::task::spawn_blocking(move || store.with_records(|kv| record::all(kv))).await {
        Ok(Ok(records)) => Ok(records),
        failed => {
            tracing::error!("the records of enrolment cannot be read: {failed:?}");
            Err(door.redirect(None))
        }
    }
}

pub async fn load(door: &Door, records: Vec<Record>) -> Result<FromCore, FromCore> {
    let count = records.len();
    match door.tell_meta(MetaCommand::Enrol(EnrolCommand::Restore { records })).await? {
        MetaAnswer::Enrol(EnrolOutcome::Done) => {
            tracing::info!(count, "records of enrolment were restored");
            Ok(FromCore::Done)
        }
        MetaAnswer::Enrol(EnrolOutcome::Refused { code, detail }) => Err(FromCore::Refused { code, detail }),
        other => Err(super::refused("internal", format!("the meta group answered {other:?}"))),
    }
}
