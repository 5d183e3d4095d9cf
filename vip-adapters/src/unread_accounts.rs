//! What becomes of an account that cannot be read when an order is loaded: it is told once and left out, which closes it, and stops no other.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde::de::Error as _;
use vip_core::model::Account;
use vip_core::telemetry;

/// Is what is stored of an account.
#[derive(Debug, Deserialize)]
pub(crate) struct StoredAccount {
    id: String,
    body: String,
}

/// Reads an account that is stored under a name.
pub(crate) fn read(id: &str, body: &str) -> Result<Account, serde_json::Error> {
    let account: Account = serde_json::from_str(body)?;
    // Whoever changed it would write over the account that it names.
    if account.id.as_str() == id { Ok(account) } else { Err(serde_json::Error::custom("it names another account")) }
}

/// Remembers which accounts could not be read last, so that each is told once and not with every load.
#[derive(Debug, Default)]
pub(crate) struct UnreadAccounts(Mutex<BTreeSet<String>>);

impl UnreadAccounts {
    /// Reads accounts, each by itself, and leaves out what cannot be read: an account that is not known is closed.
    pub(crate) fn leave_out(&self, stored: Vec<StoredAccount>) -> Vec<Account> {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts = Vec::with_capacity(stored.len());
        for StoredAccount { id, body } in stored {
            match read(&id, &body) {
                Ok(account) => {
                    unread.remove(&id);
                    accounts.push(account);
                }
                Err(error) => {
                    if unread.insert(id.clone()) {
                        telemetry::tell(|| {
                            tracing::error!(
                                account.id = %id,
                                %error,
                                "what is kept of an account cannot be read: it is closed, and its orders wait"
                            );
                        });
                    }
                }
            }
        }
        accounts
    }
}

#[cfg(test)]
mod tests {
    use vip_core::model::AccountId;

    use super::*;

    fn stored(name: &str, body: &str) -> StoredAccount {
        StoredAccount { id: name.to_owned(), body: body.to_owned() }
    }

    #[test]
    fn what_cannot_be_read_or_has_another_name_is_left_out_and_remembered_until_it_can() {
        let unread = UnreadAccounts::default();
        let whole = |name: &str| Account::unknown(AccountId::new(name).unwrap());
        let text = |name: &str| serde_json::to_string(&whole(name)).unwrap();
        let names = || unread.0.lock().unwrap().clone();
        let other = text("b");
        for body in ["", "{", "{}", "7", other.as_str()] {
            let read = unread.leave_out(vec![stored("a", body), stored("b", &other)]);
            assert_eq!(read, [whole("b")], "{body}");
            assert_eq!(names(), BTreeSet::from(["a".to_owned()]), "{body}");
        }
        assert_eq!(unread.leave_out(vec![stored("a", &text("a"))]), [whole("a")]);
        assert!(names().is_empty());
    }
}
