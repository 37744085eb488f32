//! Copies of the database that are made while the service runs.

use rusqlite::Connection;

use super::harness::{Client, Data, exported_keys};

#[tokio::test]
async fn sqlite_backup_of_a_store_in_use_has_what_was_answered_and_is_served() {
    let data = Data::with_users(20);
    let server = data.serve();
    let client = Client::of(&server).await;
    client.untag("1000").await.unwrap();
    let copy = Data::empty();
    let backup = format!("VACUUM INTO '{}'", copy.database().display());
    let reader = Connection::open(data.database()).unwrap();
    reader.execute_batch(&backup).unwrap();
    client.untag("1001").await.unwrap();

    let keys = |data: &Data, id: &str| exported_keys(data.path())[id].clone();
    assert_eq!(keys(&copy, "1000"), ["kept"]);
    assert_eq!(keys(&copy, "1001"), ["gone", "kept"]);
    let restored = copy.serve();
    let client = Client::of(&restored).await;
    assert_eq!(client.keys("1000").await, ["kept"]);
    client.untag("1002").await.unwrap();
    assert_eq!(keys(&copy, "1002"), ["kept"]);
    assert_eq!(keys(&data, "1002"), ["gone", "kept"]);
}
