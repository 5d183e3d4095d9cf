//! Tests of the validation of orders.

use super::*;

fn good() -> ServerSpec {
    ServerSpec::new("web-1").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops")
}

fn fields(spec: &ServerSpec) -> Vec<String> {
    spec.validate().map_or_else(|invalid| invalid.errors.into_iter().map(|e| e.field).collect(), |_| Vec::new())
}

#[test]
fn a_good_spec_is_kept_as_it_was_sent() {
    let valid = good().label("env", "prod").user_data("#cloud-config").validate().unwrap();
    assert_eq!(valid.display_name.as_str(), "web-1");
    assert_eq!(valid.labels.get("env").map(String::as_str), Some("prod"));
    assert_eq!(valid.user_data.unwrap().expose(), "#cloud-config");
}

#[test]
fn all_bad_fields_are_named_at_once() {
    let bad = ServerSpec::new("Web 1").label("vip-owner", "x").user_data("a\0b");
    let found = fields(&bad);
    for field in ["name", "server_types", "image", "locations", "ssh_keys", "labels[vip-owner]", "user_data"] {
        assert!(found.iter().any(|f| f == field), "{field} is missing in {found:?}");
    }
}

#[test]
fn an_error_names_field_value_and_rule() {
    let error = ServerSpec::new("Web").validate().unwrap_err().to_string();
    assert!(error.contains("name \"Web\" may only contain lower-case letters"), "{error}");
}

#[test]
fn a_long_value_is_shortened_and_user_data_is_never_shown() {
    let error = ServerSpec::new("W".repeat(5000)).user_data("s3cret\0").validate().unwrap_err().to_string();
    assert!(error.len() < 1000, "{}", error.len());
    assert!(!error.contains("s3cret"));
    assert!(!format!("{:?}", good().user_data("s3cret")).contains("s3cret"));
}

#[test]
fn every_list_has_a_bound() {
    let mut spec = good();
    spec.ssh_keys = (0..50).map(|n| format!("k{n}")).collect();
    assert_eq!(fields(&spec), Vec::<String>::new());
    spec.ssh_keys.push("k50".to_owned());
    assert_eq!(fields(&spec), ["ssh_keys"]);

    let mut spec = good();
    spec.server_types = (0..4).map(|n| format!("t{n}")).collect();
    spec.locations = vec!["fsn1".to_owned(), "nbg1".to_owned()];
    assert_eq!(fields(&spec), Vec::<String>::new());
    spec.locations.push("hel1".to_owned());
    assert_eq!(fields(&spec), ["server_types"]);
}

#[test]
fn user_data_has_at_most_32_kibibytes() {
    assert!(good().user_data("x".repeat(32 * 1024)).validate().is_ok());
    assert_eq!(fields(&good().user_data("x".repeat(32 * 1024 + 1))), ["user_data"]);
}

#[test]
fn catalog_names_have_at_most_a_hundred_bytes() {
    assert!(good().image("i".repeat(100)).validate().is_ok());
    assert_eq!(fields(&good().image("i".repeat(101))), ["image"]);
    assert_eq!(fields(&good().image("a\nb")), ["image"]);
}

#[test]
fn an_image_begins_with_a_letter_or_is_an_id_that_is_allowed() {
    let id = "161547269";
    let allowed = BTreeSet::from([id.to_owned()]);
    for name in ["ubuntu-24.04", "debian-12", "i"] {
        assert!(good().image(name).validate().is_ok(), "{name}");
    }
    assert_eq!(fields(&good().image(id)), ["image"]);
    let rule = good().image(id).validate().unwrap_err().to_string();
    assert!(rule.contains("image \"161547269\" must be a name"), "{rule}");
    assert!(good().image(id).validate_allowing(&allowed).is_ok());
    // As somebody may write an id who wants it to be taken for a name.
    let forms =
        ["0161547269", "+161547269", "-1", " 161547269", "161547269 ", "161547269x", "161547269.0", "161_547_269"];
    for form in
        forms.into_iter().chain(["161547270", "0x9a10945", "1e9", "１６１", "\u{feff}161547269", "\u{200b}1", "#1"])
    {
        let found = good().image(form).validate_allowing(&allowed).unwrap_err().errors;
        assert_eq!(found.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), ["image"], "{form}");
    }
}

#[test]
fn a_value_named_twice_is_refused() {
    assert_eq!(fields(&good().ssh_key("ops")), ["ssh_keys[1]"]);
}

#[test]
fn candidates_try_types_before_locations_before_accounts() {
    let spec = good().server_type("cx23").location("nbg1").validate().unwrap();
    let accounts = [AccountId::default_account(), AccountId::new("second").unwrap()];
    let listed: Vec<String> =
        spec.candidates(&accounts).iter().map(|c| format!("{}/{}/{}", c.server_type, c.location, c.account)).collect();
    assert_eq!(
        listed,
        [
            "cpx22/fsn1/default",
            "cx23/fsn1/default",
            "cpx22/nbg1/default",
            "cx23/nbg1/default",
            "cpx22/fsn1/second",
            "cx23/fsn1/second",
            "cpx22/nbg1/second",
            "cx23/nbg1/second",
        ]
    );
}
