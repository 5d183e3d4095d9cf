//! Secrets of the environment: `NAME`, or a file that `NAME_FILE` names; never a flag, never shown.

use secrecy::SecretString;

/// Longest secret, in bytes.
const SECRET_BYTES: usize = 16 * 1024;

/// Says why a secret cannot be used; never what it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// It is said twice, and nobody knows which one is meant.
    #[error("both {name} and {name}_FILE are set: set one")]
    Twice { name: &'static str },
    /// The file cannot be read. Its path is not shown: where the secret itself stands in its place, it would be the secret.
    #[error("{name}_FILE: what it names cannot be read; it has to be a path, and not the secret itself")]
    File {
        name: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// It is empty or too long.
    #[error("{name}: must have 1 to {SECRET_BYTES} bytes")]
    Length { name: &'static str },
}

/// Is a secret and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) value: SecretString,
    pub(crate) source: String,
}

/// Reads a variable of the environment; an empty one is as good as none.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Reads a secret, if there is one.
pub(crate) fn secret(
    name: &'static str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Secret>, SecretError> {
    let file_name = format!("{name}_FILE");
    let (text, source) = match (environment(name), environment(&file_name)) {
        (Some(_), Some(_)) => return Err(SecretError::Twice { name }),
        (Some(text), None) => (text, name.to_owned()),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|source| SecretError::File { name, source })?;
            (text, file_name)
        }
        (None, None) => return Ok(None),
    };
    // A file ends with a line break that belongs to the file.
    let text = text.trim();
    if text.is_empty() || text.len() > SECRET_BYTES {
        return Err(SecretError::Length { name });
    }
    Ok(Some(Secret { value: SecretString::from(text), source }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_secret_comes_from_the_variable_or_the_file_and_not_from_both() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "of-a-file\n").unwrap();
        let path = file.to_str().unwrap().to_owned();
        let read = |pairs: Vec<(&'static str, String)>| {
            secret("A_TOKEN", &move |name| pairs.iter().find(|(it, _)| *it == name).map(|(_, value)| value.clone()))
        };
        assert!(read(vec![]).unwrap().is_none());
        let from_variable = read(vec![("A_TOKEN", "of-a-variable".to_owned())]).unwrap().unwrap();
        assert_eq!(from_variable.value.expose_secret(), "of-a-variable");
        let from_file = read(vec![("A_TOKEN_FILE", path.clone())]).unwrap().unwrap();
        assert_eq!((from_file.value.expose_secret(), from_file.source.as_str()), ("of-a-file", "A_TOKEN_FILE"));
        assert!(read(vec![("A_TOKEN", "x".to_owned()), ("A_TOKEN_FILE", path)]).is_err());
        let missing = read(vec![("A_TOKEN_FILE", "the-secret-itself".to_owned())]).unwrap_err();
        assert!(missing.to_string().contains("A_TOKEN_FILE"), "{missing}");
        assert!(!format!("{missing} {missing:?}").contains("the-secret-itself"), "{missing:?}");
    }

    #[test]
    fn a_secret_has_at_most_sixteen_kib() {
        let of = |length: usize| secret("A_TOKEN", &move |name| (name == "A_TOKEN").then(|| "s".repeat(length)));
        assert!(of(SECRET_BYTES).is_ok());
        let error = of(SECRET_BYTES + 1).unwrap_err().to_string();
        assert!(!error.contains("ss"), "{error}");
    }
}
