//! Whatever a caller orders: validation answers, says every reason, and shows nothing that is secret.

use vip_core::model::{ServerSpec, ValidSpec, limits};

/// Most errors of an order: two for each entry of a list that is checked, which is one more than it may have, and nine for
/// the lists as such and the other fields.
const MOST_ERRORS: usize = 2 * (2 * (limits::CANDIDATES + 1) + (limits::SSH_KEYS + 1) + (limits::LABELS + 1)) + 9;

/// Reads a description as JSON; text that is none becomes one field of an order that is otherwise good, the first
/// byte saying which.
pub fn run(data: &[u8]) {
    if let Ok(spec) = serde_json::from_slice::<ServerSpec>(data) {
        check(&spec);
    }
    if let Some((field, text)) = data.split_first() {
        check(&with_field(*field, &String::from_utf8_lossy(text)));
    }
}

fn good() -> ServerSpec {
    ServerSpec::new("web-1").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops")
}

fn with_field(field: u8, text: &str) -> ServerSpec {
    let (left, right) = text.split_once('=').unwrap_or((text, ""));
    match field % 8 {
        0 => good().image(text),
        1 => good().server_type(text),
        2 => good().location(text),
        3 => good().ssh_key(text),
        4 => good().label(left, right),
        5 => good().user_data(text),
        6 => text.split(',').fold(good(), |spec, key| spec.ssh_key(key)),
        _ => ServerSpec::new(text).server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops"),
    }
}

fn check(spec: &ServerSpec) {
    let answer = spec.validate();
    assert_eq!(answer, spec.validate(), "the same order has two answers");
    match answer {
        Ok(valid) => check_valid(spec, &valid),
        Err(invalid) => {
            assert!(!invalid.errors.is_empty(), "refused without a reason");
            assert!(invalid.errors.len() <= MOST_ERRORS, "{} errors", invalid.errors.len());
            for error in &invalid.errors {
                assert!(!error.field.is_empty() && !error.rule.is_empty(), "{error:?} names no field or no rule");
                let shown = error.value.chars().count();
                assert!(shown <= limits::SHOWN_VALUE_CHARS + 1, "{} shows {shown} characters", error.field);
                assert!(error.field != "user_data" || error.value.is_empty(), "user data is shown");
            }
        }
    }
}

fn check_valid(spec: &ServerSpec, valid: &ValidSpec) {
    let name = valid.display_name.as_str();
    assert!((1..=limits::DISPLAY_NAME_BYTES).contains(&name.len()), "{name:?}");
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{name:?}");
    assert_eq!(name, spec.name, "the name was changed");
    assert!(valid.image.starts_with(|first: char| first.is_ascii_alphabetic()), "{:?} may be an id", valid.image);
    assert!((1..=limits::SSH_KEYS).contains(&valid.ssh_keys.len()), "{} SSH keys", valid.ssh_keys.len());
    let candidates = valid.server_types.len() * valid.locations.len();
    assert!((1..=limits::CANDIDATES).contains(&candidates), "{candidates} candidates");
    assert!(valid.labels.len() <= limits::LABELS, "{} labels", valid.labels.len());
    let user_data = valid.user_data.as_ref().map_or(0, |it| it.expose().len());
    assert!(user_data <= limits::USER_DATA_BYTES, "{user_data} bytes of user data");
    let text = serde_json::to_vec(valid).expect("a valid order can be stored");
    let read: ValidSpec = serde_json::from_slice(&text).expect("a stored order can be read");
    assert_eq!(&read, valid, "an order changes when it is stored");
}
