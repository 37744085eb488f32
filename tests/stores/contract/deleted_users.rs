//! Users that are deleted, restored, and gone for good.

use untag::domain::{DeletedUsers, TagSelection, UserChange, UserKey};

use super::Backend;
use super::fixtures::*;
use super::user_fixtures::*;

/// Users 1 to 3, of whom 2 is deleted.
async fn start_with_one_deleted<B: Backend>() -> B {
    let backend = B::start(vec![
        user("1", "a@x", &[("env", "1"), ("team", "t")]),
        user("2", "b@x", &[("env", "2"), ("team", "t")]),
        user("3", "c@x", &[("env", "3")]),
    ])
    .await;
    let answer = backend.change(START, [delete("2")]).await.unwrap();
    assert_eq!(answer[0].delete_time, Some(START));
    assert_eq!((&*answer[0].name, &*answer[0].tags["env"]), ("b@x", "2"));
    backend
}

pub async fn deleted_users_are_missing_for_tags<B: Backend>() {
    let backend = start_with_one_deleted::<B>().await;
    let missing = |positions: &[usize]| Err(Refused::Missing(positions.to_vec()));
    for targets in [ids(["1", "2"]), names(&["a@x", "B@x"])] {
        let mut command = untag(targets.clone(), keys(["env"]));
        assert_eq!(backend.untag(command.clone()).await, missing(&[1]));
        command.validate_only = true;
        assert_eq!(backend.untag(command.clone()).await, missing(&[1]));
        command.allow_missing = true;
        assert_eq!(backend.untag(command.clone()).await, Ok(changed(1, 1)));
        let tagged = tag(targets.clone(), &[("new", "x")]);
        assert_eq!(backend.tag(tagged).await, missing(&[1]));
        let listed = list(Some(targets), &[]);
        assert_eq!(
            backend.listed(listed).await.map(|_| ()),
            Err(Refused::Missing(vec![1]))
        );
    }
    for targets in [ids(["3", "2"]), names(&["c@x", "b@x"])] {
        let mut command = untag(targets, TagSelection::All);
        command.allow_missing = true;
        let answer = backend.untag(command).await;
        assert_eq!(answer.map(|_| ()), Ok(()));
    }
    let everybody = list(None, &[("team", None)]);
    let expected = listing(&[("1", "team", "t")]);
    assert_eq!(backend.listed(everybody).await, Ok(expected));
    let contents = backend.contents().await;
    let there: Vec<_> = contents.keys().map(|(_, id)| id.as_str()).collect();
    assert_eq!(there, ["1", "3"]);
    // None of this has touched what comes back.
    backend.change(START, [restore("2")]).await.unwrap();
    let listed = backend.listed(list(Some(ids(["2"])), &[])).await;
    let expected = listing(&[("2", "env", "2"), ("2", "team", "t")]);
    assert_eq!(listed, Ok(expected));
}

pub async fn deleted_users_are_shown_by_id_and_where_a_list_says_so<B: Backend>() {
    let backend = start_with_one_deleted::<B>().await;
    let deleted = backend.by_id(START + 5, "2").await.unwrap();
    assert_eq!(deleted.delete_time, Some(START));
    assert_eq!((&*deleted.name, &*deleted.tags["env"]), ("b@x", "2"));
    assert_eq!(backend.by_name(START, "b@x").await, None);
    let ids = backend.listed_users(START, DeletedUsers::Hide).await;
    assert_eq!(ids, ["1", "3"]);
    let users = backend
        .user_pages(user_list(START, DeletedUsers::Show))
        .await;
    assert_eq!(users.len(), 3);
    assert_eq!(users[1], deleted);
}

pub async fn deleted_users_come_back_with_the_tags_that_they_had<B: Backend>() {
    let backend = B::start(vec![user("1", "a@x", &[("first", "1")])]).await;
    let tags = [("env", "prod"), ("gone", "x"), ("team", "值")];
    let new = UserChange::Create(new_user("2", "b@x", &tags));
    backend.change(START, [new]).await.unwrap();
    let untagged = untag(ids(["1", "2"]), keys(["gone", "first"]));
    backend.untag(untagged).await.unwrap();
    let tagged = tag(ids(["2"]), &[("env", "test"), ("late", "y")]);
    backend.tag(tagged).await.unwrap();
    backend
        .change(START + 1, [delete("2"), delete("1")])
        .await
        .unwrap();
    let mut others = untag(ids(["1", "2"]), TagSelection::All);
    others.allow_missing = true;
    assert_eq!(backend.untag(others).await, Ok(changed(0, 0)));

    let answer = backend.change(START + 2, [restore("2")]).await.unwrap();
    let back = &answer[0];
    let times = (back.create_time, back.update_time, back.delete_time);
    assert_eq!(times, (Some(START), Some(START + 2), None));
    let expected = [("env", "test"), ("late", "y"), ("team", "值")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(back.tags, expected.into());
    assert_eq!(backend.by_id(START, "2").await.as_ref(), Some(back));
    assert_eq!(backend.by_name(START, "B@X").await.as_ref(), Some(back));
    // It is a user like any other, and can go and come again.
    let untagged = untag(names(&["b@x"]), keys(["late"]));
    assert_eq!(backend.untag(untagged).await, Ok(changed(1, 1)));
    backend.change(START + 3, [delete("2")]).await.unwrap();
    let answer = backend
        .change(START + 4, [restore("1"), restore("2")])
        .await;
    let answer = answer.unwrap();
    assert_eq!(answer[0].tags.len(), 0);
    let kept: Vec<_> = answer[1].tags.keys().collect();
    assert_eq!(kept, ["env", "team"]);
}

pub async fn deleted_users_free_their_names<B: Backend>() {
    let backend = start_with_one_deleted::<B>().await;
    backend.change(START, [create("4", "B@x")]).await.unwrap();
    assert_eq!(backend.by_name(START, "b@x").await.unwrap().id, "4");
    let answer = backend.change(START, [restore("2")]).await;
    assert_eq!(answer, Err(Refused::NameTaken(vec![0])));
    let answer = backend.change(START, [restore_as("2", "A@x")]).await;
    assert_eq!(answer, Err(Refused::NameTaken(vec![0])));
    // The refused are still deleted.
    assert_eq!(
        backend.by_id(START, "2").await.unwrap().delete_time,
        Some(START)
    );
    let answer = backend.change(START, [restore_as("2", "new@x")]).await;
    assert_eq!(answer.unwrap()[0].name, "new@x");
    let untagged = untag(names(&["new@x"]), keys(["env"]));
    assert_eq!(backend.untag(untagged).await, Ok(changed(1, 1)));
    // Two may have had the same name, one after the other.
    backend
        .change(START, [delete("4"), rename("1", "b@x")])
        .await
        .unwrap();
    backend.change(START, [delete("1")]).await.unwrap();
    let answer = backend.change(START, [restore("1"), restore("4")]).await;
    assert_eq!(answer, Err(Refused::NameTaken(vec![0, 1])));
    backend
        .change(START, [restore("1"), restore_as("4", "a@x")])
        .await
        .unwrap();
}

pub async fn deleted_users_keep_their_ids<B: Backend>() {
    let backend = start_with_one_deleted::<B>().await;
    let answer = backend
        .change(START, [create("4", "d@x"), create("2", "new@x")])
        .await;
    assert_eq!(answer, Err(Refused::UserExists(vec![1])));
    for change in [delete("2"), show_as("2", "shown"), rename("2", "new@x")] {
        let answer = backend.change(START, [change]).await;
        assert_eq!(answer, Err(Refused::Missing(vec![0])));
    }
    for change in [restore("1"), restore_as("1", "new@x")] {
        let answer = backend.change(START, [change]).await;
        assert_eq!(answer, Err(Refused::UserExists(vec![0])));
    }
}

pub async fn deleted_users_are_gone_after_30_days<B: Backend>() {
    let backend = start_with_one_deleted::<B>().await;
    backend.change(START + 1, [delete("3")]).await.unwrap();
    let last = START + KEPT - 1;
    assert!(backend.by_id(last, "2").await.is_some());
    assert_eq!(
        backend.listed_users(last, DeletedUsers::Show).await.len(),
        3
    );
    let answer = backend.change(last, [create("2", "new@x")]).await;
    assert_eq!(answer, Err(Refused::UserExists(vec![0])));

    let gone = last + 1;
    assert_eq!(backend.by_id(gone, "2").await, None);
    assert_eq!(
        backend.listed_users(gone, DeletedUsers::Show).await,
        ["1", "3"]
    );
    let answer = backend.change(gone, [restore("2"), restore("3")]).await;
    assert_eq!(answer, Err(Refused::Missing(vec![0])));
    // The id is free, and what is made anew has nothing of the old one.
    let answer = backend.change(gone, [create("2", "B@x")]).await.unwrap();
    assert_eq!(answer, [Seen::created(&new_user("2", "B@x", &[]), gone)]);
    assert_eq!(backend.by_id(gone, "2").await.as_ref(), Some(&answer[0]));
    let listed = list(Some(ids(["2"])), &[]);
    assert_eq!(backend.listed(listed).await, Ok(Vec::new()));
    backend.change(gone, [delete("2")]).await.unwrap();
    let answer = backend
        .change(gone, [restore("2"), show_as("1", "shown")])
        .await;
    assert_eq!(answer.unwrap()[0].name, "B@x");
    // The last moment of the other one has passed too.
    let answer = backend.change(gone + 1, [restore("3")]).await;
    assert_eq!(answer, Err(Refused::Missing(vec![0])));
}

pub async fn deleted_users_of_other_accounts_stay_deleted<B: Backend>() {
    let backend = B::start(vec![
        user("1", "a@x", &[("env", "1")]),
        user_of(OTHER_ACCOUNT, "1", "a@x", &[("env", "other")]),
    ])
    .await;
    let other = |time, changes| backend.command(command(OTHER_ACCOUNT, time, changes));
    other(START, vec![delete("1")]).await.unwrap();
    let untagged = untag(ids(["1"]), keys(["env"]));
    assert_eq!(backend.untag(untagged).await, Ok(changed(1, 1)));
    backend.change(START, [delete("1")]).await.unwrap();
    backend.change(START, [restore("1")]).await.unwrap();
    let query = |account: &str| {
        let mut query = user_query(START, UserKey::Id(id("1")));
        query.account = self::account(account);
        backend.query(query)
    };
    assert!(query(ACCOUNT).await.unwrap().is_there());
    assert!(!query(OTHER_ACCOUNT).await.unwrap().is_there());
    let answer = other(START, vec![restore("1")]).await.unwrap();
    assert_eq!(answer[0].tags["env"], "other");
}
