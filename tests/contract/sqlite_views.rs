//! What the views for people show of what is stored.

use sqlx::{Connection, SqliteConnection};
use vip_core::conformance::BackendFixture;
use vip_core::conformance::samples::{change, server, tenant};
use vip_core::ports::Guard;

use crate::sqlite;

#[tokio::test]
async fn the_view_of_servers_shows_the_type_and_the_location_that_a_server_has() {
    let fixture = sqlite().await;
    let mut record = server(&tenant("acme"));
    record.server_type = Some("cpx22".to_owned());
    record.location = Some("fsn1".to_owned());
    drop(fixture.store().commit(&change(record, Guard::New)).await.unwrap());
    let path = fixture.folder.path().join("vip.db");
    let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    let shown = "SELECT count(*) FROM vip_servers_readable WHERE server_type = 'cpx22' AND location = 'fsn1'";
    assert_eq!(sqlx::query_scalar::<_, i64>(shown).fetch_one(&mut connection).await.unwrap(), 1);
    connection.close().await.unwrap();
    fixture.close().await;
}
