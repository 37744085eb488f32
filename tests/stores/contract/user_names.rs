//! Principal names: unique in the state after a command, however they pass from one user to another in it.

use untag::domain::DeletedUsers;

use super::Backend;
use super::fixtures::*;
use super::user_fixtures::*;

/// Users 1 to 3: `a@x`, `b@x` and `c@x`.
pub async fn start_with_three<B: Backend>() -> B {
    B::start(vec![
        user("1", "a@x", &[("env", "1")]),
        user("2", "b@x", &[("env", "2")]),
        user("3", "c@x", &[]),
    ])
    .await
}

/// The name of each user that is there, as `1=a@x`.
pub async fn names_of(backend: &impl Backend) -> Vec<String> {
    let users = backend
        .user_pages(user_list(START, DeletedUsers::Hide))
        .await;
    let text = |user: &Seen| format!("{}={}", user.id, user.name);
    users.iter().map(text).collect()
}

pub async fn users_have_names_that_are_unique_without_case<B: Backend>() {
    let backend = start_with_three::<B>().await;
    let before = backend.contents().await;
    let cases = [
        vec![create("4", "d@x"), create("5", "A@X")],
        vec![rename("3", "B@x"), show_as("1", "shown")],
        vec![create("4", "new@x"), create("5", "nEW@X")],
        vec![rename("1", "new@x"), create("5", "NEW@x")],
        // One that keeps its name holds it, also where it is updated.
        vec![show_as("1", "shown"), create("5", "a@x")],
    ];
    let refused = [vec![1], vec![0], vec![0, 1], vec![0, 1], vec![1]];
    for (changes, positions) in cases.into_iter().zip(refused) {
        let answer = backend.change(START, changes.clone()).await;
        assert_eq!(answer, Err(Refused::NameTaken(positions)), "{changes:?}");
    }
    assert_eq!(backend.contents().await, before);
    assert_eq!(backend.by_id(START, "1").await.unwrap().display_name, None);
    // Its own name in another case is nobody else's.
    let answer = backend.change(START, [rename("1", "A@x")]).await.unwrap();
    assert_eq!(
        (&*answer[0].name, answer[0].update_time),
        ("A@x", Some(START))
    );
    assert!(names_of(&backend).await.contains(&"1=A@x".to_owned()));
}

pub async fn users_swap_names_and_pass_them_in_chains_and_cycles<B: Backend>() {
    let backend = start_with_three::<B>().await;
    let swap = [rename("1", "b@x"), rename("2", "A@x")];
    let answer = backend.change(START, swap).await.unwrap();
    assert_eq!((&*answer[0].name, &*answer[1].name), ("b@x", "A@x"));
    assert_eq!(names_of(&backend).await, ["1=b@x", "2=A@x", "3=c@x"]);
    // What was under a name is now under another.
    let untagged = untag(names(&["a@x"]), keys(["env"]));
    assert_eq!(backend.untag(untagged).await, Ok(changed(1, 1)));
    assert_eq!(backend.by_id(START, "1").await.unwrap().tags["env"], "1");

    let cycle = [rename("3", "b@x"), rename("1", "a@x"), rename("2", "c@x")];
    backend.change(START, cycle).await.unwrap();
    assert_eq!(names_of(&backend).await, ["1=a@x", "2=c@x", "3=b@x"]);
    // Each takes the name of the next one, in both orders of the command.
    let chain = [rename("1", "c@x"), rename("2", "b@x"), rename("3", "new@x")];
    backend.change(START, chain).await.unwrap();
    assert_eq!(names_of(&backend).await, ["1=c@x", "2=b@x", "3=new@x"]);
    let chain = [
        rename("1", "last@x"),
        rename("2", "C@x"),
        rename("3", "B@x"),
    ];
    backend.change(START, chain).await.unwrap();
    assert_eq!(names_of(&backend).await, ["1=last@x", "2=C@x", "3=B@x"]);
}

pub async fn users_take_a_name_that_another_gives_up_in_the_same_command<B: Backend>() {
    let backend = start_with_three::<B>().await;
    let changes = [create("4", "A@x"), delete("1"), rename("3", "d@x")];
    backend.change(START, changes).await.unwrap();
    assert_eq!(names_of(&backend).await, ["2=b@x", "3=d@x", "4=A@x"]);
    // One that comes back takes the name of one that goes, and one that goes leaves it to one that stays.
    let changes = [
        delete("4"),
        restore("1"),
        rename("2", "c@x"),
        create("5", "b@x"),
    ];
    backend.change(START, changes).await.unwrap();
    assert_eq!(
        names_of(&backend).await,
        ["1=a@x", "2=c@x", "3=d@x", "5=b@x"]
    );
    let changes = [restore_as("4", "d@x"), rename("3", "e@x")];
    backend.change(START, changes).await.unwrap();
    assert_eq!(
        names_of(&backend).await,
        ["1=a@x", "2=c@x", "3=e@x", "4=d@x", "5=b@x"]
    );
    // A name that is given to two is free for neither.
    let changes = [delete("1"), create("6", "a@x"), rename("2", "A@x")];
    let answer = backend.change(START, changes).await;
    assert_eq!(answer, Err(Refused::NameTaken(vec![1, 2])));
}

pub async fn users_that_are_renamed_are_found_by_the_new_name_only<B: Backend>() {
    let backend = start_with_three::<B>().await;
    backend.change(START, [rename("1", "new@x")]).await.unwrap();
    assert_eq!(backend.by_name(START, "a@x").await, None);
    assert_eq!(backend.by_name(START, "NEW@x").await.unwrap().id, "1");
    let old = untag(names(&["b@x", "a@x"]), keys(["env"]));
    assert_eq!(backend.untag(old).await, Err(Refused::Missing(vec![1])));
    let old = tag(names(&["a@x"]), &[("env", "x")]);
    assert_eq!(backend.tag(old).await, Err(Refused::Missing(vec![0])));
    let old = list(Some(names(&["a@x"])), &[]);
    assert_eq!(backend.listed(old).await, Err(Refused::Missing(vec![0])));
    let new = list(Some(names(&["NEW@x"])), &[]);
    assert_eq!(backend.listed(new).await, Ok(listing(&[("1", "env", "1")])));
    let new = untag(names(&["new@x"]), keys(["env"]));
    assert_eq!(backend.untag(new).await, Ok(changed(1, 1)));
}
