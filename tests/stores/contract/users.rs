//! Users are created, updated and listed. What is deleted and restored is in `deleted_users`.

use untag::domain::{Comments, DeletedUsers, DisplayName, Edit, UserChange, UserKey, UserUpdate};

use super::Backend;
use super::fixtures::*;
use super::user_fixtures::*;
use super::user_names::{names_of, start_with_three};

pub async fn users_that_are_created_have_all_that_was_given<B: Backend>() {
    let backend = start_with_three::<B>().await;
    let tags = numbered_tags("key-", 20, "值\"\\\n");
    let mut new = new_user("007", "New.User@Example.com", &borrowed(&tags));
    new.display_name = Some(DisplayName::parse("\"名\\'\t;").unwrap());
    new.comments = Some(Comments::parse("é".repeat(128)).unwrap());
    let plain = new_user("8", "plain@x", &[]);
    let expected = [Seen::created(&new, START), Seen::created(&plain, START)];
    let changes = [UserChange::Create(new), UserChange::Create(plain)];
    assert_eq!(backend.change(START, changes).await, Ok(expected.to_vec()));
    assert_eq!(
        backend.by_id(START, "007").await.as_ref(),
        Some(&expected[0])
    );
    let by_name = backend.by_name(START, "nEW.uSER@eXAMPLE.COM").await;
    assert_eq!(by_name.as_ref(), Some(&expected[0]));
    assert_eq!(backend.by_id(START, "7").await, None);
    assert_eq!(backend.by_name(START, "other@x").await, None);
    // One that was imported has no times.
    let imported = backend.by_id(START, "1").await.unwrap();
    let times = (imported.create_time, imported.update_time);
    assert_eq!(times, (None, None));

    // They are users like others.
    let tagged = tag(ids(["8", "1"]), &[("new", "x")]);
    assert_eq!(backend.tag(tagged).await, Ok(changed(2, 2)));
    let untagged = untag(names(&["new.user@example.com"]), keys(["key-0", "key-1"]));
    assert_eq!(backend.untag(untagged).await, Ok(changed(1, 2)));
    let everybody = list(None, &[("new", None)]);
    let expected = listing(&[("1", "new", "x"), ("8", "new", "x")]);
    assert_eq!(backend.listed(everybody).await, Ok(expected));
    assert_eq!(backend.by_id(START, "007").await.unwrap().tags.len(), 18);
    // Tags are no update.
    let plain = backend.by_id(START, "8").await.unwrap();
    assert_eq!(plain.update_time, Some(START));
}

pub async fn users_are_not_created_where_their_ids_exist<B: Backend>() {
    let backend = start_with_three::<B>().await;
    let before = backend.contents().await;
    let changes = [
        create("4", "d@x"),
        create("2", "e@x"),
        show_as("3", "shown"),
        create("1", "f@x"),
    ];
    let answer = backend.change(START, changes).await;
    assert_eq!(answer, Err(Refused::UserExists(vec![1, 3])));
    // An id is told apart by every digit.
    let answer = backend.change(START, [create("01", "g@x")]).await;
    assert_eq!(answer.unwrap()[0].id, "01");
    backend.change(START, [delete("01")]).await.unwrap();
    assert_eq!(backend.contents().await, before);
}

pub async fn users_that_are_updated_change_only_where_that_is_said<B: Backend>() {
    let backend = start_with_three::<B>().await;
    let changes = [show_as("1", "One"), comment("2", "second")];
    let answer = backend.change(START, changes).await.unwrap();
    let mut one = backend.by_id(START, "1").await.unwrap();
    assert_eq!(answer[0], one);
    assert_eq!(one.display_name.as_deref(), Some("One"));
    assert_eq!((one.comments.as_deref(), &*one.name), (None, "a@x"));
    assert_eq!(one.tags["env"], "1");
    assert_eq!((one.create_time, one.update_time), (None, Some(START)));

    // What is as it was is no update.
    let same = [rename("1", "a@x"), show_as("2", "Two")];
    backend.change(START + 1, same).await.unwrap();
    let same = [show_as("1", "One"), comment("2", "second")];
    backend.change(START + 2, same).await.unwrap();
    backend
        .change(START + 3, [UserChange::Update(update("1"))])
        .await
        .unwrap();
    assert_eq!(backend.by_id(START, "1").await.unwrap(), one);
    let two = backend.by_id(START, "2").await.unwrap();
    assert_eq!(two.update_time, Some(START + 1));
    assert_eq!(two.comments.as_deref(), Some("second"));

    let cleared = UserUpdate {
        display_name: Edit::Clear,
        comments: Edit::Set(Comments::parse("first").unwrap()),
        principal_name: Some(name("d@x")),
        ..update("1")
    };
    let answer = backend
        .change(START + 4, [UserChange::Update(cleared)])
        .await;
    one.display_name = None;
    one.comments = Some("first".to_owned());
    "d@x".clone_into(&mut one.name);
    one.update_time = Some(START + 4);
    assert_eq!(answer, Ok(vec![one]));
}

pub async fn users_that_are_updated_twice_at_one_moment_have_both_updates<B: Backend>() {
    let backend = start_with_three::<B>().await;
    backend.change(START, [show_as("1", "One")]).await.unwrap();
    let answer = backend.change(START, [show_as("1", "Two")]).await.unwrap();
    assert_eq!(answer[0].display_name.as_deref(), Some("Two"));
    assert_eq!(backend.by_id(START, "1").await.unwrap(), answer[0]);
}

pub async fn users_that_are_missing_are_all_named<B: Backend>() {
    let backend = start_with_three::<B>().await;
    let before = backend.contents().await;
    let changes = [
        show_as("7", "shown"),
        show_as("1", "shown"),
        delete("8"),
        delete("2"),
        restore("9"),
        create("4", "d@x"),
    ];
    let answer = backend.change(START, changes).await;
    assert_eq!(answer, Err(Refused::Missing(vec![0, 2, 4])));
    assert_eq!(backend.contents().await, before);
    assert_eq!(backend.by_id(START, "1").await.unwrap().display_name, None);
}

pub async fn users_are_refused_for_the_first_reason_and_nothing_is_changed<B: Backend>() {
    let backend = start_with_three::<B>().await;
    backend.change(START, [delete("3")]).await.unwrap();
    let before = backend
        .user_pages(user_list(START, DeletedUsers::Show))
        .await;
    let good = || [create("4", "d@x"), show_as("1", "shown")];
    let taken = || create("5", "b@x");
    let exists = || [create("3", "e@x"), restore("2")];
    let missing = || rename("7", "b@x");
    let all = good().into_iter().chain([taken()]).chain(exists());
    let answer = backend.change(START, all.chain([missing()])).await;
    assert_eq!(answer, Err(Refused::Missing(vec![5])));
    let all = good().into_iter().chain([taken()]).chain(exists());
    let answer = backend.change(START, all).await;
    assert_eq!(answer, Err(Refused::UserExists(vec![3, 4])));
    let all = good().into_iter().chain([taken()]);
    let answer = backend.change(START, all).await;
    assert_eq!(answer, Err(Refused::NameTaken(vec![2])));
    let after = backend
        .user_pages(user_list(START, DeletedUsers::Show))
        .await;
    assert_eq!(after, before);
    backend.change(START, good()).await.unwrap();
}

pub async fn users_of_the_largest_command_are_all_changed<B: Backend>() {
    let backend = B::start(Vec::new()).await;
    let all = || 0..1_000_usize;
    let name = |number: usize| format!("user-{number}@example.com");
    let new = |number: usize| {
        let new = new_user(&number.to_string(), &name(number), &[("env", "x")]);
        UserChange::Create(new)
    };
    let answer = backend.change(START, all().map(new)).await.unwrap();
    let order: Vec<_> = answer.iter().map(|user| user.id.clone()).collect();
    assert_eq!(
        order,
        all().map(|number| number.to_string()).collect::<Vec<_>>()
    );
    // All names go round.
    let next = |number: usize| rename(&number.to_string(), &name((number + 1) % 1_000));
    backend.change(START + 1, all().map(next)).await.unwrap();
    let one = backend.by_name(START + 1, "user-0@example.com").await;
    assert_eq!(one.unwrap().id, "999");
    let ids: Vec<_> = all().map(|number| number.to_string()).collect();
    let answer = backend
        .change(START + 2, ids.iter().map(|id| delete(id)))
        .await;
    assert!(answer.unwrap().iter().all(|user| !user.is_there()));
    assert_eq!(backend.contents().await.len(), 0);
    backend
        .change(START + 3, ids.iter().map(|id| restore(id)))
        .await
        .unwrap();
    let contents = backend.contents().await;
    assert_eq!(contents.len(), 1_000);
    for ((_, id), (found, tags)) in &contents {
        let next = (id.parse::<usize>().unwrap() + 1) % 1_000;
        assert_eq!((found, &*tags["env"]), (&name(next), "x"));
    }
}

pub async fn users_of_other_accounts_are_neither_seen_nor_changed<B: Backend>() {
    let backend = B::start(vec![
        user("1", "a@x", &[("env", "1")]),
        user_of(OTHER_ACCOUNT, "1", "a@x", &[("env", "other")]),
        user_of(OTHER_ACCOUNT, "2", "b@x", &[]),
    ])
    .await;
    // Neither the ids nor the names of another account are taken.
    backend.change(START, [create("2", "b@x")]).await.unwrap();
    let changes = vec![rename("1", "c@x"), create("3", "a@x"), delete("2")];
    let other = command(OTHER_ACCOUNT, START, changes);
    backend.command(other).await.unwrap();
    assert_eq!(names_of(&backend).await, ["1=a@x", "2=b@x"]);
    let answer = backend.change(START, [delete("3")]).await;
    assert_eq!(answer, Err(Refused::Missing(vec![0])));
    let answer = backend.change(START, [restore("2")]).await;
    assert_eq!(answer, Err(Refused::UserExists(vec![0])));
    assert_eq!(backend.by_name(START, "c@x").await, None);
    let mut query = user_query(START, UserKey::Id(id("3")));
    assert_eq!(backend.query(query.clone()).await, None);
    query.account = account(OTHER_ACCOUNT);
    assert_eq!(backend.query(query).await.unwrap().name, "a@x");
}

pub async fn users_are_listed_in_pages_in_order_of_id<B: Backend>() {
    let mut users: Vec<_> = (0..25)
        .map(|number| numbered_user(number, &[("a", "b")]))
        .collect();
    users.push(user_of(OTHER_ACCOUNT, "5", "other@x", &[]));
    let backend = B::start(users).await;
    let show = DeletedUsers::Show;
    let hide = DeletedUsers::Hide;
    let gone: Vec<_> = (0..25)
        .step_by(3)
        .map(|number| number.to_string())
        .collect();
    backend
        .change(START, [create("007", "seven@x")])
        .await
        .unwrap();
    backend
        .change(START, gone.iter().map(|id| delete(id)))
        .await
        .unwrap();
    let mut all: Vec<_> = (0..25).map(|number| number.to_string()).collect();
    all.push("007".to_owned());
    all.sort();
    let there: Vec<_> = all
        .iter()
        .filter(|id| !gone.contains(id))
        .cloned()
        .collect();
    for size in [1, 2, 7, there.len(), all.len() - 1, all.len(), 100] {
        for (deleted, expected) in [(show, &all), (hide, &there)] {
            let mut query = user_list(START, deleted);
            query.page_size = page_size(size);
            let users = backend.user_pages(query).await;
            let found: Vec<_> = users.iter().map(|user| user.id.clone()).collect();
            assert_eq!(found, *expected, "{size} on a page, {deleted:?}");
            for user in &users {
                let one = backend.by_id(START, &user.id).await;
                assert_eq!(one.as_ref(), Some(user));
            }
        }
    }
    // A list goes on behind a user that is gone, and one that never was.
    let mut query = user_list(START, hide);
    query.after = Some(id("24").into());
    let rest = backend.user_pages(query.clone()).await;
    assert_eq!(
        rest[0].id,
        *there.iter().find(|id| id.as_str() > "24").unwrap()
    );
    query.after = Some(id("9").into());
    assert_eq!(backend.user_pages(query.clone()).await, []);
    query.account = account("3");
    query.after = None;
    assert_eq!(backend.user_pages(query).await, []);
}
