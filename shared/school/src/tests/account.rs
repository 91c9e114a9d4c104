use super::{HASH, Town, id};
use crate::{Body, Reject, Role, view};

#[test]
fn only_operator_and_admin_manage_accounts_groups_and_the_name() {
    let mut town = Town::new();
    for actor in ["tina", "anna"] {
        town.forbidden(actor, Body::SchoolName { name: "X".into() }, Reject::NotAllowed);
        town.forbidden(actor, Town::account("new", Role::Pupil), Reject::NotAllowed);
        town.forbidden(actor, Body::AccountLock { account: id("ben"), locked: true }, Reject::NotAllowed);
        town.forbidden(actor, Body::AccountPassword { account: id("ben"), password: HASH.into() }, Reject::NotAllowed);
        town.forbidden(
            actor,
            Body::GroupMembers { group: id("5a"), add: vec![id("carl")], remove: vec![] },
            Reject::NotAllowed,
        );
    }
    town.ok("root", Body::SchoolName { name: "Südschule".into() });
    town.ok("root", Town::account("new", Role::Teacher));
    assert_eq!(view::school_name(&town.store), "Südschule");
    town.forbidden("nobody", Body::SchoolName { name: "X".into() }, Reject::UnknownActor);
}

#[test]
fn logins_are_unique_and_lower_case() {
    let mut town = Town::new();
    let create = |account: &str, login: &str| Body::AccountCreate {
        account: id(account),
        login: login.into(),
        name: "N".into(),
        role: Role::Pupil,
        password: HASH.into(),
    };
    town.ok("root", create("x1", "vorname.nachname-2_b"));
    town.forbidden("root", create("x2", "anna"), Reject::LoginTaken);
    town.forbidden("root", create("anna", "anna2"), Reject::IdTaken);
    for bad in ["Anna", "", ".a", "ä", "a b", "a/b", &"a".repeat(65)] {
        town.forbidden("root", create("x3", bad), Reject::BadLogin);
    }
    let found = view::credentials(&town.store, "anna").unwrap();
    assert_eq!((found.account, found.password.as_str()), (id("anna"), HASH));
    assert_eq!(view::credentials(&town.store, "ANNA"), None);
    assert_eq!(view::credentials(&town.store, "nobody"), None);
}

#[test]
fn passwords_travel_as_argon2id_hashes_only() {
    let mut town = Town::new();
    for bad in ["secret", "", "$argon2i$v=19$x$y", "$argon2id$ a", &format!("$argon2id${}", "x".repeat(300))] {
        let body = Body::AccountPassword { account: id("anna"), password: bad.into() };
        town.forbidden("root", body, Reject::BadPasswordHash);
    }
    let other = HASH.replace("aGFz", "bGFz");
    town.ok("anna", Body::AccountPassword { account: id("anna"), password: other.clone() });
    assert_eq!(view::credentials(&town.store, "anna").unwrap().password, other);
    let unknown = Body::AccountPassword { account: id("nobody"), password: HASH.into() };
    town.forbidden("root", unknown, Reject::UnknownAccount);
}

#[test]
fn a_locked_account_does_and_sees_nothing_until_unlocked() {
    let mut town = Town::new();
    town.ok("root", Body::AccountLock { account: id("anna"), locked: true });
    let post = Body::post(id("5a"), "hi");
    town.forbidden("anna", post.clone(), Reject::AccountLocked);
    town.forbidden("anna", Body::AccountPassword { account: id("anna"), password: HASH.into() }, Reject::AccountLocked);
    assert_eq!(view::rooms(&town.store, &id("anna")), vec![]);
    assert_eq!(view::people(&town.store, &id("anna")), vec![]);
    assert_eq!(view::room(&town.store, &id("anna"), &id("5a")), Err(Reject::AccountLocked));
    assert!(view::credentials(&town.store, "anna").unwrap().locked);
    town.ok("root", Body::AccountLock { account: id("anna"), locked: false });
    town.ok("anna", post);
}

#[test]
fn an_admin_cannot_lock_the_own_account() {
    let mut town = Town::new();
    town.forbidden("root", Body::AccountLock { account: id("root"), locked: true }, Reject::NotAllowed);
}

#[test]
fn names_have_limits_in_characters() {
    let mut town = Town::new();
    let name = |name: &str| Body::SchoolName { name: name.into() };
    town.ok("root", name(&"ß".repeat(120)));
    town.forbidden("root", name(&"a".repeat(121)), Reject::NameTooLong);
    town.forbidden("root", name(&"a".repeat(10_000)), Reject::NameTooLong);
    town.forbidden("root", name("  "), Reject::NameEmpty);
    town.forbidden("root", name("a\nb"), Reject::NameBadCharacter);
}
