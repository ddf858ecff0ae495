//! What the journal asks of a store, as calls that block: the one module that knows `object_store`.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, SystemTime};

use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
};
use trialog_journal::Error;

/// What became of an attempt to make an object.
pub(crate) enum Created {
    /// It is there, and was not before.
    New,
    /// Something was there: another's, or our own after a lost reply.
    Exists,
}

/// What stands under a key.
#[derive(Debug)]
pub(crate) enum Found {
    Missing,
    /// It was emptied: its content stands elsewhere now, or was given up.
    Emptied,
    Bytes(Vec<u8>),
}

/// The name of an object, its length, and how long ago it was written by the store's clock.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) age: Duration,
}

pub(crate) struct Store {
    inner: Arc<dyn ObjectStore>,
    prefix: String,
    pub(crate) location: String,
    driver: Driver,
    /// Where the objects are files.
    folder: Option<PathBuf>,
}

/// What runs the store's futures.
pub(crate) enum Driver {
    /// The calling thread.
    Caller,
    /// A thread of its own, for clients that need tokio.
    #[cfg(feature = "bucket")]
    Thread(Runtime),
}

#[cfg(feature = "bucket")]
pub(crate) struct Runtime(Option<tokio::runtime::Runtime>);

#[cfg(feature = "bucket")]
impl Runtime {
    pub(crate) fn new() -> io::Result<Runtime> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .thread_name("trialog-slot")
            .enable_all()
            .build()
            .map(|runtime| Runtime(Some(runtime)))
    }
}

#[cfg(feature = "bucket")]
impl Drop for Runtime {
    fn drop(&mut self) {
        // Waiting for it is not allowed on a thread that runs futures of the caller's own.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Store {
    pub(crate) fn new(
        inner: Arc<dyn ObjectStore>,
        prefix: &str,
        location: String,
        driver: Driver,
        folder: Option<PathBuf>,
    ) -> Store {
        Store { inner, prefix: prefix.trim_matches('/').to_owned(), location, driver, folder }
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether a forked child cannot use it: the thread that runs it is the parent's.
    pub(crate) fn dies_with_fork(&self) -> bool {
        !matches!(self.driver, Driver::Caller)
    }

    /// Makes an object if there is none under its key.
    pub(crate) fn create(&self, key: &str, bytes: Vec<u8>) -> Result<Created, Error> {
        let (store, path) = (Arc::clone(&self.inner), self.path(key));
        let options = PutOptions::from(PutMode::Create);
        let put = self.run(async move { store.put_opts(&path, PutPayload::from(bytes), options).await });
        match put {
            Ok(_) => Ok(Created::New),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Created::Exists),
            Err(error) => Err(self.error("write to", key, error)),
        }
    }

    /// Leaves nothing of an object but its name, which nobody can take any more.
    pub(crate) fn empty(&self, key: &str) -> Result<(), Error> {
        let (store, path) = (Arc::clone(&self.inner), self.path(key));
        let put = self.run(async move { store.put(&path, PutPayload::new()).await });
        put.map(drop).map_err(|error| self.error("empty", key, error))
    }

    /// Deletes an object, if it is there.
    pub(crate) fn delete(&self, key: &str) -> Result<(), Error> {
        let (store, path) = (Arc::clone(&self.inner), self.path(key));
        match self.run(async move { store.delete(&path).await }) {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("delete from", key, error)),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Result<Found, Error> {
        let found = self.get_once(key, None)?;
        if matches!(found, Found::Missing) && self.look_again(key) {
            return self.get_once(key, None);
        }
        Ok(found)
    }

    /// The first bytes of an object.
    pub(crate) fn head(&self, key: &str, bytes: usize) -> Result<Found, Error> {
        let found = self.get_once(key, Some(bytes as u64)).or_else(|error| {
            // No store can say the first bytes of nothing.
            let (store, path) = (Arc::clone(&self.inner), self.path(key));
            match self.run(async move { store.head(&path).await }) {
                Ok(meta) if meta.size == 0 => Ok(Found::Emptied),
                Ok(_) => self.get_once(key, None),
                Err(_) => Err(error),
            }
        })?;
        if matches!(found, Found::Missing) && self.look_again(key) {
            return self.get_once(key, None);
        }
        Ok(found)
    }

    /// How long an object is; `None` if it is not there.
    pub(crate) fn size(&self, key: &str) -> Result<Option<u64>, Error> {
        let (store, path) = (Arc::clone(&self.inner), self.path(key));
        match self.run(async move { store.head(&path).await }) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("look at", key, error)),
        }
    }

    /// The objects directly under a name, in the order of their names.
    pub(crate) fn list(&self, under: &str) -> Result<Vec<Listed>, Error> {
        let (store, path) = (Arc::clone(&self.inner), self.path(under));
        let listed = self.run(async move { store.list_with_delimiter(Some(&path)).await });
        let listed = match listed {
            Ok(listed) => listed.objects,
            Err(StoreError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(self.error("list", under, error)),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let mut listed: Vec<Listed> = listed
            .into_iter()
            .filter_map(|meta| {
                let name = meta.location.filename()?.to_owned();
                let age = now.saturating_sub(meta.last_modified.timestamp_millis()).max(0);
                Some(Listed { name, age: Duration::from_millis(age as u64) })
            })
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Makes the names of a folder's files durable; the files are, before they get their names.
    pub(crate) fn sync(&self, under: &str) -> Result<(), Error> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let synced = std::fs::File::open(folder.join(under)).and_then(|folder| folder.sync_all());
        match synced {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::Io { location: self.location.clone(), action: "sync", source: error })
            }
            _ => Ok(()),
        }
    }

    fn get_once(&self, key: &str, first: Option<u64>) -> Result<Found, Error> {
        let (store, path) = (Arc::clone(&self.inner), self.path(key));
        let options = GetOptions { range: first.map(|first| GetRange::Bounded(0..first)), ..GetOptions::default() };
        let found = self.run(async move { store.get_opts(&path, options).await?.bytes().await });
        match found {
            Ok(bytes) if bytes.is_empty() => Ok(Found::Emptied),
            Ok(bytes) => Ok(Found::Bytes(bytes.to_vec())),
            Err(StoreError::NotFound { .. }) => Ok(Found::Missing),
            Err(error) => Err(self.error("read", key, error)),
        }
    }

    /// A client of a file server remembers for half a minute that a name was missing, and forgets it when it opens a folder
    /// that has changed. False if there is no folder.
    fn look_again(&self, key: &str) -> bool {
        let Some(folder) = &self.folder else { return false };
        let under = key.rsplit_once('/').map_or("", |(under, _)| under);
        std::fs::read_dir(folder.join(under)).is_ok_and(|mut names| names.next().is_some())
    }

    fn path(&self, key: &str) -> Path {
        if self.prefix.is_empty() { Path::from(key) } else { Path::from(format!("{}/{key}", self.prefix)) }
    }

    fn error(&self, action: &'static str, key: &str, error: StoreError) -> Error {
        let kind = io_kind(&error);
        let location = format!("{}/{key}", self.location);
        let source = io::Error::new(kind, error);
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Error::OutOfSpace { location, source };
        }
        Error::Io { location, action, source }
    }

    fn run<F>(&self, future: F) -> object_store::Result<<F as Answer>::Value>
    where
        F: Answer + Send + 'static,
        F::Value: Send + 'static,
    {
        match &self.driver {
            Driver::Caller => block_on(future),
            #[cfg(feature = "bucket")]
            Driver::Thread(runtime) => {
                let gone = || StoreError::Generic { store: "slot", source: "its thread is gone".into() };
                let (sender, receiver) = std::sync::mpsc::sync_channel(1);
                runtime.0.as_ref().ok_or_else(gone)?.spawn(async move {
                    let _ = sender.send(future.await);
                });
                receiver.recv().unwrap_or_else(|_| Err(gone()))
            }
        }
    }
}

/// A future of a store's answer.
trait Answer: Future<Output = object_store::Result<Self::Value>> {
    type Value;
}

impl<T, F: Future<Output = object_store::Result<T>>> Answer for F {
    type Value = T;
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

/// What the operating system said, if it was that.
fn io_kind(error: &StoreError) -> io::ErrorKind {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind();
        }
        cause = error.source();
    }
    match error {
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    }
}
