//! How many files this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that this process may open as far as it may itself, and gives it. Shells and service managers start programs with 1,024, for
/// the sake of programs that use `select` (getrlimit(2), systemd's NEWS for version 240).
pub(super) fn raise_file_limit() -> usize {
    let before = getrlimit(Resource::Nofile);
    // Refused where a sandbox forbids it; then what there is has to do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    let files = getrlimit(Resource::Nofile).current;
    files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_files_can_be_opened_afterwards() {
        let files = raise_file_limit();
        assert_eq!(files, raise_file_limit());
        assert!(files > 0);
    }
}
