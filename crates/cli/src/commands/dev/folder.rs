//! The folder of `dev`: one `dev` at a time works in it, and always for the same cluster. Knows no node.

use std::fs::{File, OpenOptions, TryLockError, create_dir_all};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, bail};

/// Holds the name of the folder's cluster, and the lock of the `dev` that works in it.
const CLUSTER: &str = "cluster";

/// A folder that is this process's until it ends.
#[derive(Debug)]
pub(super) struct Folder {
    _lock: File,
}

impl Folder {
    /// Takes the folder for a cluster. Before anything in it is touched: what another process runs on lies there too.
    pub(super) fn take(path: &Path, cluster: &str) -> anyhow::Result<Folder> {
        let shown = path.display();
        let cannot = || format!("cannot keep data in {shown}: choose another folder with --data");
        create_dir_all(path).with_context(cannot)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(path.join(CLUSTER)).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another `taffrail dev` runs with the data in {shown}: stop it, or choose another folder with --data"
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        let mut found = String::new();
        file.read_to_string(&mut found).with_context(cannot)?;
        match found.trim() {
            "" => {
                file.rewind().with_context(cannot)?;
                writeln!(file, "{cluster}").with_context(cannot)?;
            }
            found if found == cluster => {}
            found => bail!(
                "{shown} has the data of cluster {found}, and the file is for cluster {cluster}: \
                 choose another folder with --data"
            ),
        }
        Ok(Folder { _lock: file })
    }
}

#[cfg(test)]
mod tests {
    use super::Folder;

    #[test]
    fn a_folder_is_for_one_cluster_and_one_dev_at_a_time() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("data");
        let refusal = |cluster: &str| Folder::take(&path, cluster).expect_err("is refused").to_string();
        let taken = Folder::take(&path, "demo").expect("is new");
        assert!(refusal("demo").contains("another `taffrail dev` runs"));
        drop(taken);
        let other = refusal("other");
        assert!(other.contains("cluster demo") && other.contains("cluster other"), "{other}");
        Folder::take(&path, "demo").expect("is its own");
    }
}
