//! Where the file is: a path, or a URL that begins with `sqlite:`.

use std::path::PathBuf;
use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;

use super::error::OpenError;

/// Finds the file that an address means: `vip.db`, `/var/lib/vip.db`, `sqlite://vip.db`, `sqlite:///var/lib/vip.db`.
pub(super) fn file_of(address: &str) -> Result<PathBuf, OpenError> {
    // Parameters may hold a key, as those of other drivers do.
    let shown = address.split_once('?').map_or(address, |(before, _)| before);
    let wrong = |rule| OpenError::Address { address: shown.to_owned(), rule };
    let Some(rest) = address.strip_prefix("sqlite:") else {
        if let Some((scheme, _)) = address.split_once("://") {
            let address = format!("{scheme}://…");
            return Err(OpenError::Address { address, rule: "it is the URL of something else" });
        }
        check_name(address).map_err(wrong)?;
        return Ok(PathBuf::from(address));
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    check_name(rest).map_err(wrong)?;
    if rest.contains('?') {
        return Err(wrong("it takes no parameters, settings are in `SqliteConfig`"));
    }
    // The driver's own parser knows how a path is escaped in a URL.
    let options = SqliteConnectOptions::from_str(&format!("sqlite://{rest}"))
        .map_err(|source| OpenError::File { path: PathBuf::from(rest), source: Box::new(source) })?;
    Ok(options.get_filename().to_path_buf())
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it names no file");
    }
    if name.starts_with(":memory:") || name.contains("mode=memory") {
        return Err("a database in memory keeps nothing; use a file, or `vip_core`'s memory backend in tests");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_name_a_file() {
        for (address, file) in [
            ("vip.db", "vip.db"),
            ("/var/lib/vip.db", "/var/lib/vip.db"),
            ("odd?name.db", "odd?name.db"),
            ("sqlite:vip.db", "vip.db"),
            ("sqlite://vip.db", "vip.db"),
            ("sqlite:///var/lib/vip.db", "/var/lib/vip.db"),
            ("sqlite://a%20b.db", "a b.db"),
        ] {
            assert_eq!(file_of(address).unwrap(), PathBuf::from(file), "{address}");
        }
    }

    #[test]
    fn what_keeps_nothing_or_names_nothing_is_refused() {
        for address in [
            "",
            "sqlite:",
            "sqlite://",
            ":memory:",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://a.db?mode=memory",
        ] {
            assert!(matches!(file_of(address), Err(OpenError::Address { .. })), "{address}");
        }
        let error = file_of("sqlite://a.db?key=secret").unwrap_err().to_string();
        assert!(error.contains("no parameters") && !error.contains("secret"), "{error}");
        let error = file_of("postgres://user:secret@host/db").unwrap_err().to_string();
        assert!(error.contains("postgres://") && !error.contains("secret"), "{error}");
    }
}
