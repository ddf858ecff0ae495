//! Opening a log: the places there are, and the object that makes one a log.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use rand::TryRng;
use rand::rngs::SysRng;
use trialog_journal::Error;
use trialog_journal::group::Group;

use crate::known::Known;
use crate::object::{Flaw, HEADER_BYTES, Header, Kind, Point, Token, VERSION};
use crate::store::{Created, Driver, Found, Store};
use crate::{LOG, SlotJournal};

/// How to open a log.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Never write. Default: `false`.
    pub read_only: bool,
    /// Make the log if there is none. Default: `true`.
    pub create: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { read_only: false, create: true }
    }
}

impl SlotJournal {
    /// Opens the log in a folder, of this machine or of a file server.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotALog`], [`Error::NewerFormat`], [`Error::Unsupported`] where links cannot be
    /// made, or what the operating system says.
    pub fn open_folder(path: impl AsRef<Path>, options: Options) -> Result<SlotJournal, Error> {
        let path = path.as_ref();
        let location = format!("slot:{}", path.display());
        let failed = |source| Error::Io { location: location.clone(), action: "open", source };
        if options.create && !options.read_only {
            std::fs::create_dir_all(path).map_err(failed)?;
        } else if !path.exists() {
            return Err(Error::NotFound { location });
        }
        let folder = std::fs::canonicalize(path).map_err(failed)?;
        // A file is then synced before it gets its name, and the folder afterwards.
        let files = LocalFileSystem::new_with_prefix(&folder).map(|files| files.with_fsync(true));
        let files = files.map_err(|error| failed(std::io::Error::other(error)))?;
        let store = Store::new(Arc::new(files), "", location, Driver::Caller, Some(folder));
        SlotJournal::open(store, options)
    }

    /// Opens the log under a prefix of a store of the caller's own. The store's futures run on the threads that call the
    /// journal: they must not need a runtime.
    ///
    /// # Errors
    /// As [`SlotJournal::open_folder`].
    pub fn open_store(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        location: &str,
        options: Options,
    ) -> Result<SlotJournal, Error> {
        SlotJournal::open(Store::new(store, prefix, location.to_owned(), Driver::Caller, None), options)
    }

    /// Opens the log under a prefix of a bucket: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`, each with its
    /// feature. Credentials, region and endpoint come from the environment, under the names that the tools of that cloud use
    /// (`AWS_...`, `GOOGLE_...`, `AZURE_...`).
    ///
    /// # Errors
    /// As [`SlotJournal::open_folder`], and [`Error::Unsupported`] for a URL of another kind or a store that does not make
    /// objects if absent.
    #[cfg(feature = "bucket")]
    pub fn open_bucket(url: &str, options: Options) -> Result<SlotJournal, Error> {
        let location = url.to_owned();
        let unsupported =
            |detail: &str| Error::Unsupported { location: location.clone(), detail: detail.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| unsupported("it is no URL of a bucket"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(unsupported("it names no bucket"));
        }
        let made: object_store::Result<Arc<dyn ObjectStore>> = match scheme {
            #[cfg(feature = "s3")]
            "s3" => object_store::aws::AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .with_conditional_put(object_store::aws::S3ConditionalPut::ETagMatch)
                .build()
                .map(|store| Arc::new(store) as _),
            #[cfg(feature = "gcs")]
            "gs" => object_store::gcp::GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(bucket)
                .build()
                .map(|store| Arc::new(store) as _),
            #[cfg(feature = "azure")]
            "az" => object_store::azure::MicrosoftAzureBuilder::from_env()
                .with_container_name(bucket)
                .build()
                .map(|store| Arc::new(store) as _),
            _ => return Err(unsupported("this program was built without buckets of that kind")),
        };
        let failed = |source| Error::Io { location: location.clone(), action: "open", source };
        let inner = made.map_err(|error| failed(std::io::Error::other(error)))?;
        let runtime = crate::store::Runtime::new().map_err(failed)?;
        SlotJournal::open(Store::new(inner, prefix, location.clone(), Driver::Thread(runtime), None), options)
    }

    fn open(store: Store, options: Options) -> Result<SlotJournal, Error> {
        let writer = Token { writer: random(&store.location)?, counter: 0 };
        let mut found = store.get(LOG)?;
        if matches!(found, Found::Missing) && options.create && !options.read_only {
            let at = Point { slot: 0, seq: 0, bytes: 0, chain: 0 };
            let header = Header::new(Kind::Log, random(&store.location)?, at, 0, writer, &[]);
            // Somebody else may be first, or the reply be lost: what is there then counts.
            let made = store.create(LOG, header.with(&[])).map(drop);
            found = store.get(LOG)?;
            if matches!(found, Found::Missing) {
                made?;
            }
        }
        let bytes = match found {
            Found::Bytes(bytes) => bytes,
            Found::Missing => return Err(Error::NotFound { location: store.location }),
            Found::Emptied => {
                return Err(Error::NotALog {
                    location: store.location,
                    found: "its object \"log\" is empty".to_owned(),
                });
            }
        };
        let header = match Header::split(&bytes) {
            Ok((header, _, rest)) if header.kind == Kind::Log && rest.is_empty() => header,
            Err(Flaw::Newer(version)) => {
                let found = format!("format version {version}");
                return Err(Error::NewerFormat { location: store.location, found, supported: VERSION });
            }
            Err(Flaw::Damaged(offset, detail)) if bytes.len() <= HEADER_BYTES => {
                let location = format!("{}/{LOG}", store.location);
                return Err(Error::Corrupt { location, offset, seq: 0, detail: detail.to_owned() });
            }
            _ => {
                let found = "its object \"log\" is none of Trialog's".to_owned();
                return Err(Error::NotALog { location: store.location, found });
            }
        };
        if !options.read_only {
            refuses_what_is_there(&store, bytes)?;
        }
        let start = Point { slot: 0, seq: 0, bytes: 0, chain: header.crc };
        Ok(SlotJournal {
            store,
            log_id: header.log_id,
            start,
            read_only: options.read_only,
            process: AtomicU32::new(std::process::id()),
            writer: Mutex::new(writer),
            known: Mutex::new(Known::new(start)),
            group: Group::default(),
            poison: OnceLock::new(),
            lost_races: AtomicU64::new(0),
        })
    }
}

/// Asks the store to make an object that is there, with the very bytes that it has: one that does so would let writers
/// overwrite one another.
fn refuses_what_is_there(store: &Store, bytes: Vec<u8>) -> Result<(), Error> {
    match store.create(LOG, bytes)? {
        Created::Exists => Ok(()),
        Created::New => Err(Error::Unsupported {
            location: store.location.clone(),
            detail: "it makes an object that is there already, so that writers would overwrite one another"
                .to_owned(),
        }),
    }
}

pub(crate) fn random(location: &str) -> Result<[u8; 16], Error> {
    let mut bytes = [0; 16];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| Error::Io {
        location: location.to_owned(),
        action: "draw a random number for",
        source: std::io::Error::other(error),
    })?;
    Ok(bytes)
}
