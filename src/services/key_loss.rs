//! A data directory whose keys are gone, or whose database is.
//!
//! Two keys are drawn when they are first needed. That is right in a new directory, and wrong beside a database that was written with another one: a
//! restore that left a file out would start, and nobody would learn that pseudonyms no longer lead anywhere or that certificates lost their
//! signer. So a key that is missing where it was used stops the start. The database shows the use: pseudonyms, and certificates that were ever installed, in
//! force or not. Of a signing key whose certificates were never installed here it knows nothing, and a new one is drawn.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
};

use super::{INDEX_FOLDER, StartError, access, certificates, operating_points::UNTRUSTED, scoring::Pseudonyms};
use crate::{
    config::Config,
    domain::{event::EventBody, ids::TenantId},
    store::{Store, StoreError},
};

/// Refuses a directory from which a key is gone that its database was used with.
///
/// # Errors
/// [`StartError::KeyLost`], with what is lost and what to do; the store's.
pub async fn check(config: &Config, store: &Store) -> Result<(), StartError> {
    pseudonym_key(&config.data_dir, store).await?;
    signing_key(&config.data_dir, store).await
}

/// Refuses to make a database where one was used: its pseudonym key, its first API key or its index lies there. (A signing key does not count: `calibrate` makes one
/// without a database.)
///
/// # Errors
/// [`StartError::DatabaseLost`].
pub fn check_database(config: &Config) -> Result<(), StartError> {
    let path = config.store_file();
    if path.exists() {
        return Ok(());
    }
    let used = [Pseudonyms::FILE, access::KEY_FILE, INDEX_FOLDER].map(|name| config.data_dir.join(name));
    match used.into_iter().find(|beside| beside.exists()) {
        Some(beside) => Err(StartError::DatabaseLost { path, beside }),
        None => Ok(()),
    }
}

async fn pseudonym_key(data_dir: &Path, store: &Store) -> Result<(), StartError> {
    let path = data_dir.join(Pseudonyms::FILE);
    if path.exists() || !store.holds_pseudonyms().await? {
        return Ok(());
    }
    let shown = path.display();
    Err(StartError::KeyLost {
        lost: "Without it nothing in the ledger can be found again by account or item, so that nobody's data can be erased by name, clusters of \
               review items fall apart, copies of what people decided come before them again, and a repeated call with an idempotency key of before is refused",
        otherwise: format!("if it is gone for good, begin a new one: (umask 077; head -c 32 /dev/urandom > {shown})"),
        path,
    })
}

/// The data directory's own key, which `calibrate` signs with.
///
/// # Errors
/// As [`check`].
pub async fn signing_key(data_dir: &Path, store: &Store) -> Result<(), StartError> {
    let path = data_dir.join(certificates::KEY_FILE);
    if path.exists() {
        return Ok(());
    }
    let Some(public) = lost_signer(store).await? else { return Ok(()) };
    let shown = path.display();
    Err(StartError::KeyLost {
        lost: "Certificates that it signed are no longer believed: their operating points would answer \"certified\": false, those that were retired could \
               not come back certified, and no new ones can be signed in its name",
        otherwise: format!(
            "if it is gone for good, keep its certificates valid with: nightlight operating-point trust --name lost-{} {public}; then begin a new \
             one: (umask 077; head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n' > {shown})",
            &public[..8]
        ),
        path,
    })
}

/// The signer of an installed certificate, in force or not, who was believed when it was installed, and whom nobody was ever told to believe: it was this
/// directory's own key.
async fn lost_signer(store: &Store) -> Result<Option<String>, StoreError> {
    let mut events: HashMap<TenantId, Vec<EventBody>> = HashMap::new();
    for (tenant, document) in store.certificate_documents().await? {
        // One that was changed since, or that a newer program wrote, says of no signer that he signed it.
        let Ok(certificate) = certificates::parse(document.as_bytes()) else { continue };
        let Ok(signer) = certificates::verify(&certificate) else { continue };
        let signer = signer.to_string();
        let events = match events.entry(tenant) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(store.certificate_events(tenant).await?),
        };
        let was_believed = |event: &EventBody| {
            matches!(event, EventBody::OperatingPointInstalled { certificate: of, certified, reason, .. } if *of == certificate.id
                && (*certified || reason.as_ref().is_some_and(|reason| !reason.contains(UNTRUSTED))))
        };
        let was_told = |event: &EventBody| matches!(event, EventBody::CertificateKeyTrusted { public_key, .. } if *public_key == signer);
        if events.iter().any(was_believed) && !events.iter().any(was_told) {
            return Ok(Some(signer));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Sources,
        domain::{certificate::Certificate, operating_point::PointKey, score::Technology, time::Timestamp},
        services::{
            certificates::{SigningKey, sign},
            operating_points::{Replacing, Running, Target, Trusted, install},
        },
        store::{CounterIncrement, Outcome, StoreOptions},
        testing::certificates::certificate,
    };

    const TENANT: TenantId = TenantId::DEFAULT;

    async fn house() -> (tempfile::TempDir, Config, Store) {
        let folder = tempfile::tempdir().unwrap();
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        let sources = Sources::default().with_flag("--models", "models.directory", models);
        let config = Config::load(&sources.with_flag("--data-dir", "data_dir", folder.path().to_string_lossy())).unwrap();
        let store = Store::open(StoreOptions::new(config.store_file())).await.unwrap();
        (folder, config, store)
    }

    #[tokio::test]
    async fn a_pseudonym_key_may_be_new_only_where_none_was_used() {
        let (folder, config, store) = house().await;
        check(&config, &store).await.expect("a database that the command line made knows no pseudonym");
        let mut outcome = Outcome::new(TENANT);
        let (hour, technology) = (Timestamp::now().hour(), Technology::named("routing"));
        outcome.counters.push(CounterIncrement { hour, technology, label: "none".into(), slice: "image".into(), bin: 0, count: 1 });
        store.commit(outcome).await.unwrap();
        let refused = check(&config, &store).await.unwrap_err().to_string();
        assert!(refused.contains("pseudonym.key") && refused.contains("backup") && refused.contains("head -c 32"), "{refused}");
        Pseudonyms::open(folder.path()).unwrap();
        check(&config, &store).await.expect("with a key it starts");
    }

    fn signed(running: &Running, key: &SigningKey) -> Certificate {
        let mut new = certificate();
        new.id = uuid::Uuid::now_v7().to_string();
        new.model = Some(running.get("open-nsfw").unwrap().binding("nsfw"));
        sign(&mut new, key);
        new
    }

    async fn put_into_force(config: &Config, store: &Store, certificate: &Certificate) -> bool {
        let (running, trusted) = (Running::load(config), Trusted::new(&config.data_dir, []));
        install(store, TENANT, (&running, &trusted), certificate, (Target::First, Replacing::Trusted)).await.unwrap()[0].certified
    }

    #[tokio::test]
    async fn a_signing_key_may_be_missing_only_where_nothing_that_it_signed_was_installed() {
        let (folder, config, store) = house().await;
        let running = Running::load(&config);
        let other = tempfile::tempdir().unwrap();
        let others = signed(&running, &SigningKey::of_data_dir(other.path()).unwrap());
        assert!(!put_into_force(&config, &store, &others).await, "nobody trusts that signer");
        check(&config, &store).await.expect("no key of this directory's was ever used");

        let key = SigningKey::of_data_dir(folder.path()).unwrap();
        assert!(put_into_force(&config, &store, &signed(&running, &key)).await);
        check(&config, &store).await.expect("the key is there");
        std::fs::remove_file(folder.path().join(certificates::KEY_FILE)).unwrap();
        let refused = check(&config, &store).await.unwrap_err().to_string();
        let public = key.public();
        assert!(refused.contains("calibration.key") && refused.contains(&public.to_string()), "{refused}");
        let of = PointKey { technology: "open-nsfw".into(), label: "nsfw".into(), slice: None };
        store.retire_operating_point(TENANT, of, Timestamp::now()).await.unwrap();
        check(&config, &store).await.expect_err("it signed what was in force");
        store.trust_certificate_key(TENANT, public.bytes(), "lost".to_owned(), Timestamp::now()).await.unwrap();
        check(&config, &store).await.expect("somebody knows of it and keeps its certificates");
    }

    /// What was installed for another version of the model was never certified, and still had a signer who was believed.
    #[tokio::test]
    async fn a_certificate_that_was_never_valid_tells_of_its_signer_too() {
        let (folder, config, store) = house().await;
        let key = SigningKey::of_data_dir(folder.path()).unwrap();
        let mut other = signed(&Running::load(&config), &key);
        other.model.as_mut().unwrap().digest = Some("sha256:0".to_owned());
        sign(&mut other, &key);
        assert!(!put_into_force(&config, &store, &other).await);
        std::fs::remove_file(folder.path().join(certificates::KEY_FILE)).unwrap();
        assert!(check(&config, &store).await.unwrap_err().to_string().contains(&key.public().to_string()));
    }
}
