//! Between rows and domain values.

use serde::de::{DeserializeOwned, IntoDeserializer, value};
use sqlx::{Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::time::Timestamp;

/// The 16 bytes that are stored of an id.
pub(super) fn blob(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

fn corrupt(what: &'static str, detail: impl ToString) -> StoreError {
    StoreError::Corrupt { what, detail: detail.to_string() }
}

/// An id.
pub(super) fn uuid(row: &SqliteRow, column: &'static str) -> Result<Uuid, StoreError> {
    Uuid::from_slice(row.try_get(column)?).map_err(|error| corrupt(column, error))
}

/// An id that may be absent.
pub(super) fn optional_uuid(row: &SqliteRow, column: &'static str) -> Result<Option<Uuid>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    bytes.map(Uuid::from_slice).transpose().map_err(|error| corrupt(column, error))
}

/// A digest or key of 32 bytes.
pub(super) fn digest(row: &SqliteRow, column: &'static str) -> Result<[u8; 32], StoreError> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|error| corrupt(column, error))
}

/// An instant.
pub(super) fn time(row: &SqliteRow, column: &'static str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_micros(row.try_get(column)?))
}

/// An instant that may be absent.
pub(super) fn optional_time(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
}

/// A number that was stored from an unsigned or smaller one.
pub(super) fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    let number: i64 = row.try_get(column)?;
    T::try_from(number).map_err(|_| corrupt(column, number))
}

/// One of the names in the API, e.g. of a category.
pub(super) fn named<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    let name: &str = row.try_get(column)?;
    T::deserialize(name.into_deserializer()).map_err(|error: value::Error| corrupt(column, error))
}

/// A JSON column.
pub(super) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| corrupt(column, error))
}
