//! The token and the provider's texts are in no `Debug`, `Display` or cause.

use std::error::Error;

use serde_json::json;
use vip_core::model::{ProviderServerId, UserData};
use vip_core::ports::{ProviderClient, ProviderError};

use super::super::{HetznerClient, HetznerConfig};
use super::{Script, Step, TOKEN, context, create_request, created};

/// Everything that an error says, causes included.
fn said(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text} {error} {error:?}");
        cause = error.source();
    }
    text
}

fn assert_silent(text: &str) {
    for part in [TOKEN, &TOKEN[..12], "swordfish"] {
        assert!(!text.contains(part), "{part} is shown in {text}");
    }
}

#[test]
fn client_and_config_do_not_show_the_token() {
    let mut config = HetznerConfig::new(TOKEN);
    config.proxy = Some("http://user:swordfish@127.0.0.1:1".to_owned().into());
    assert_silent(&format!("{config:?} {config:#?}"));
    config.base_url = "http://127.0.0.1:1".to_owned();
    let client = HetznerClient::new(config).unwrap();
    assert_silent(&format!("{client:?} {client:#?}"));
    assert!(!client.token_digest().as_str().is_empty());
}

#[test]
fn a_refused_config_does_not_show_what_was_refused() {
    let mut configs = vec![HetznerConfig::new(format!("{TOKEN} \n")), HetznerConfig::new(TOKEN)];
    configs[1].base_url = format!("https://{TOKEN}:swordfish@example.com");
    for url in ["swordfish", "swordfish://127.0.0.1", "http://swordfish/"] {
        let mut config = HetznerConfig::new(TOKEN);
        config.base_url = url.to_owned();
        configs.push(config);
        let mut config = HetznerConfig::new(TOKEN);
        config.proxy = Some(format!("{url}:x:y").into());
        config.base_url = "http://127.0.0.1:1".to_owned();
        configs.push(config);
    }
    for config in configs {
        if let Err(error) = HetznerClient::new(config) {
            assert_silent(&said(&error));
        }
    }
}

#[tokio::test]
async fn no_error_repeats_what_the_provider_said() {
    let text = format!("Limit of '3600' requests per hour for token '{TOKEN}...' reached, swordfish");
    let refusal = |code: &str| json!({"error": {"code": code, "message": text, "details": {"a": text}}}).to_string();
    let mut wrong = created();
    *wrong.pointer_mut("/server/id").unwrap() = json!(text);
    let bodies = [
        (429, refusal("rate_limit_exceeded")),
        (422, refusal(&text)),
        (500, refusal("server_error")),
        (201, wrong.to_string()),
        (201, text.clone()),
        (201, json!({"server": text, "action": text, "root_password": "swordfish"}).to_string()),
        (502, format!("<html>{text}</html>")),
        (404, format!("{{\"{text}\": 1}}")),
    ];
    let mut request = create_request();
    request.user_data = Some(UserData::new("swordfish"));
    for (status, body) in bodies {
        let (client, _) = Script::client([Step::Answer(status, body.clone()), Step::Answer(status, body)]);
        let errors: Vec<ProviderError> = vec![
            client.create(&request, &context()).await.unwrap_err(),
            client.get(&ProviderServerId::new("42").unwrap(), &context()).await.unwrap_err(),
        ];
        errors.iter().for_each(|error| assert_silent(&said(error)));
    }
}
