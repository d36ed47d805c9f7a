use serde_json::Value;

use super::*;
use crate::domain::certificate::Certificate;

/// A certificate with numbers that are hard to write: shortest decimals of 17 digits, subnormal, whole.
fn signed() -> (Certificate, SigningKey) {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::of_data_dir(folder.path()).unwrap();
    let mut certificate = fixtures::certificate();
    certificate.claim.precision_lower = Some(0.1 + 0.2);
    certificate.claim.recall_interval = Some([5e-324, 1.0]);
    certificate.claim.threshold = Some(1.0);
    certificate.diagnostics.insert("drift".into(), serde_json::json!({"b": [1e300, -0.0, 3], "a": null}));
    sign(&mut certificate, &key);
    (certificate, key)
}

#[test]
fn a_file_read_back_verifies_whatever_its_order_and_white_space() {
    let (certificate, key) = signed();
    assert_eq!(verify(&certificate).unwrap(), key.public());
    let pretty = serde_json::to_vec_pretty(&certificate).unwrap();
    let read = parse(&pretty).unwrap();
    assert_eq!(verify(&read).unwrap(), key.public());
    assert_eq!(read, certificate);

    let Value::Object(object) = serde_json::from_slice(&pretty).unwrap() else { unreachable!() };
    let reversed: serde_json::Map<String, Value> = object.into_iter().rev().collect();
    assert_eq!(verify(&parse(&serde_json::to_vec(&reversed).unwrap()).unwrap()).unwrap(), key.public());
}

#[test]
fn whatever_is_changed_breaks_it() {
    let (certificate, _) = signed();
    let original: Value = serde_json::to_value(&certificate).unwrap();
    // Every number, text, truth value and null of the document, one by one, except the signature, which has its own test.
    let mut places = Vec::new();
    leaves(&original, String::new(), &mut places);
    places.retain(|place| !place.starts_with("/signature"));
    assert!(places.len() > 50, "{places:?}");
    for place in places {
        let mut changed = original.clone();
        let leaf = changed.pointer_mut(&place).unwrap();
        *leaf = match leaf.take() {
            Value::Number(number) => match (number.as_u64(), number.as_f64()) {
                (Some(whole), _) => (whole ^ 1).into(),
                (None, Some(float)) => f64::from_bits(float.to_bits() ^ 1).into(),
                _ => unreachable!(),
            },
            Value::String(text) => format!("{text}x").into(),
            Value::Bool(truth) => (!truth).into(),
            Value::Null => "x".into(),
            other => panic!("{other}"),
        };
        let result = parse(&serde_json::to_vec(&changed).unwrap()).and_then(|read| verify(&read));
        assert!(result.is_err(), "{place} was changed and nobody noticed");
    }
    for key in original.as_object().unwrap().keys() {
        let mut without = original.clone();
        without.as_object_mut().unwrap().shift_remove(key);
        let result = parse(&serde_json::to_vec(&without).unwrap()).and_then(|read| verify(&read));
        assert!(result.is_err(), "{key} was removed and nobody noticed");
    }
    let mut added = original.clone();
    added["claims_more"] = true.into();
    assert!(matches!(parse(&serde_json::to_vec(&added).unwrap()), Err(CertificateError::Foreign(place)) if place == "claims_more"));
    let mut newer = original;
    newer["version"] = 2.into();
    assert!(matches!(parse(&serde_json::to_vec(&newer).unwrap()), Err(CertificateError::Version { found: 2 })));
}

fn leaves(value: &Value, place: String, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| leaves(value, format!("{place}/{key}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| leaves(value, format!("{place}/{at}"), found)),
        _ => found.push(place),
    }
}

#[test]
fn a_signature_is_its_keys_and_of_its_kind() {
    let (certificate, _) = signed();
    let other = SigningKey::of_data_dir(tempfile::tempdir().unwrap().path()).unwrap();
    let change = |change: &dyn Fn(&mut crate::domain::certificate::Signature)| {
        let mut changed = certificate.clone();
        change(changed.signature.as_mut().unwrap());
        verify(&changed).unwrap_err()
    };
    assert!(matches!(change(&|signature| signature.public_key = other.public().to_string()), CertificateError::Tampered));
    assert!(matches!(change(&|signature| signature.value = "00".repeat(64)), CertificateError::Tampered));
    assert!(matches!(change(&|signature| signature.value.truncate(10)), CertificateError::Signature(_)));
    assert!(matches!(change(&|signature| signature.algorithm = "none".into()), CertificateError::Signature(_)));
    assert!(matches!(change(&|signature| signature.public_key = format!("01{}", "00".repeat(31))), CertificateError::Signature(_)));
    let unsigned = Certificate { signature: None, ..certificate };
    assert!(matches!(verify(&unsigned), Err(CertificateError::Unsigned)));
}

#[test]
fn other_files_are_refused_in_words() {
    for (bytes, complaint) in [
        (&b"\x89PNG"[..], "is no certificate"),
        (b"{}", "does not say its version"),
        (b"[]", "does not say its version"),
        (b"{\"version\":1}", "missing field"),
        (b"{\"version\":1,\"kind\":\"recall\"", "EOF"),
    ] {
        let error = parse(bytes).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
}
