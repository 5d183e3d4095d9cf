//! `/ssh_keys`: list, read and create; unique by name and by fingerprint.

use std::sync::Arc;

use serde_json::json;

use super::super::answer::{Answer, Refusal};
use super::super::labels::Labels;
use super::super::query::{SortValue, sort_entries};
use super::super::records::{ProjectName, SshKey};
use super::super::world::World;
use super::Call;
use super::fields::Fields;

const KEY_KINDS: [&str; 5] =
    ["ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

impl World {
    pub(super) fn list_ssh_keys(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let query = call.query(&["name", "fingerprint", "label_selector", "sort", "page", "per_page"])?;
        let selector = query.selector()?;
        let sort = query.sort(&["id", "name"])?;
        let (name, fingerprint) = (query.last("name"), query.last("fingerprint"));
        let mut keys: Vec<_> = self
            .ssh_keys
            .values()
            .filter(|key| key.project == call.project)
            .filter(|key| name.is_none_or(|name| key.name == name))
            .filter(|key| fingerprint.is_none_or(|wanted| key.fingerprint == wanted))
            .filter(|key| selector.matches(&key.labels))
            .collect();
        sort_entries(&mut keys, &sort, |key: &SshKey, field| match field {
            "name" => SortValue::Text(&key.name),
            _ => SortValue::Number(u128::from(key.id)),
        });
        query.page("ssh_keys", &keys, |key| key.to_json(self.settings.clock))
    }

    pub(super) fn get_ssh_key(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        call.query(&[])?;
        let key = self
            .ssh_keys
            .get(&call.id)
            .filter(|key| key.project == call.project)
            .ok_or_else(|| Refusal::not_found("SSH key", call.id))?;
        Ok(Answer::ok(json!({"ssh_key": key.to_json(self.settings.clock)})))
    }

    pub(super) fn create_ssh_key(&mut self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let mut fields = Fields::parse(call.body)?;
        fields.expect_only(&["name", "public_key", "labels"]);
        let name = fields.required_text("name");
        let public_key = fields.required_text("public_key");
        if !public_key.is_empty() && key_body(&public_key).is_none() {
            fields.refuse("public_key", "is not a valid SSH public key");
        }
        let labels = fields.labels().unwrap_or_default();
        fields.finish()?;
        let fingerprint = fingerprint(&public_key);
        let mut siblings = self.ssh_keys.values().filter(|key| key.project == call.project);
        if let Some(twin) = siblings.find(|key| key.name == name || key.fingerprint == fingerprint) {
            let field = if twin.name == name { "name" } else { "public_key" };
            return Err(Refusal::not_unique(field));
        }
        let id = self.add_ssh_key(&call.project, name, public_key, labels);
        let key = self.ssh_keys.get(&id).map(|key| key.to_json(self.settings.clock));
        Ok(Answer::created(json!({ "ssh_key": key })))
    }

    pub(in super::super) fn add_ssh_key(
        &mut self,
        project: &ProjectName,
        name: String,
        public_key: String,
        labels: Labels,
    ) -> u64 {
        let id = self.next_id();
        let key = SshKey {
            id,
            project: Arc::clone(project),
            name,
            fingerprint: fingerprint(&public_key),
            public_key,
            labels,
            created: self.now,
        };
        self.ssh_keys.insert(id, key);
        id
    }
}

/// Returns the encoded part of a public key, if it looks like one.
fn key_body(public_key: &str) -> Option<&str> {
    let mut parts = public_key.split_whitespace();
    let kind = parts.next()?;
    let body = parts.next()?;
    let is_encoded = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    (KEY_KINDS.contains(&kind) && body.len() >= 16 && body.chars().all(is_encoded)).then_some(body)
}

/// Stands in for the MD5 fingerprint: as long, and as unique, but not the same bytes.
fn fingerprint(public_key: &str) -> String {
    const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let body = key_body(public_key).unwrap_or(public_key);
    let hash = body.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME));
    let bytes: Vec<_> = hash.to_be_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}
