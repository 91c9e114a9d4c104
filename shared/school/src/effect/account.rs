//! The school's name and its accounts.

use crate::{
    apply::Change,
    key,
    op::Role,
    record::{self, Account, Login, Password, School},
    reject::Reject,
    rule::{self, Acting},
    store::KvMut,
};
use schulhof_wire::AccountId;

pub fn name_school(store: &mut impl KvMut, acting: &Acting, name: &str) -> Result<(), Reject> {
    acting.manages()?;
    rule::name(name)?;
    record::save(store, key::SCHOOL, &School { name: name.into() });
    Ok(())
}

pub struct New<'a> {
    pub account: &'a AccountId,
    pub login: &'a str,
    pub name: &'a str,
    pub role: Role,
    pub password: &'a str,
}

pub fn create(store: &mut impl KvMut, acting: &Acting, new: &New<'_>, changes: &mut Vec<Change>) -> Result<(), Reject> {
    acting.manages()?;
    rule::login(new.login)?;
    rule::name(new.name)?;
    rule::password_hash(new.password)?;
    if store.get(&key::account(new.account)).is_some() {
        return Err(Reject::IdTaken);
    }
    if store.get(&key::login(new.login)).is_some() {
        return Err(Reject::LoginTaken);
    }
    let record = Account { login: new.login.into(), name: new.name.into(), role: new.role, locked: false };
    record::save(store, &key::account(new.account), &record);
    record::save(store, &key::login(new.login), &Login(new.account.clone()));
    record::save(store, &key::password(new.account), &Password(new.password.into()));
    changes.push(Change::Account { account: new.account.clone() });
    Ok(())
}

/// By those who manage accounts, and by the account itself.
pub fn set_password(
    store: &mut impl KvMut,
    acting: &Acting,
    account: &AccountId,
    password: &str,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    let own = matches!(acting, Acting::Person { account: actor, .. } if actor == account);
    if !own {
        acting.manages()?;
    }
    rule::password_hash(password)?;
    rule::account(store, account)?;
    record::save(store, &key::password(account), &Password(password.into()));
    if own {
        store.delete(&key::first_password(account));
    }
    changes.push(Change::Account { account: account.clone() });
    Ok(())
}

/// Nobody locks the own account: a school's only admin could not undo it.
pub fn lock(
    store: &mut impl KvMut,
    acting: &Acting,
    account: &AccountId,
    locked: bool,
    changes: &mut Vec<Change>,
) -> Result<(), Reject> {
    acting.manages()?;
    if matches!(acting, Acting::Person { account: actor, .. } if actor == account) {
        return Err(Reject::NotAllowed);
    }
    let mut record = rule::account(store, account)?;
    if record.locked != locked {
        record.locked = locked;
        record::save(store, &key::account(account), &record);
        changes.push(Change::Account { account: account.clone() });
    }
    Ok(())
}
