//! The revocations that a process knows: sessions by their ids, and users by hashes of their names.
//!
//! Does not use Python. A million sessions take 45 MB, and a million users 61 MB. While a table grows, it takes half as
//! much in addition.

use std::collections::HashMap;

/// The id of a session, or the hash of a user.
pub type Id = [u8; 16];

/// A session that a revocation of its user keeps, and the cursor at which it was bound to that user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: Id,
    pub cursor: u64,
}

/// The latest revocation of a user. It is made of units of four bytes, so that entries need no padding.
#[derive(Clone, Copy)]
struct UserEntry {
    cursor: [u32; 2],
    until: u32,
}

impl UserEntry {
    fn new(cursor: u64, until: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the number")]
        Self { cursor: [(cursor >> 32) as u32, cursor as u32], until }
    }

    fn cursor(self) -> u64 {
        u64::from(self.cursor[0]) << 32 | u64::from(self.cursor[1])
    }
}

/// A revoked user, as [`Revoked::users`] lists them.
pub struct RevokedUser {
    pub user: Id,
    pub cursor: u64,
    pub until: u32,
    pub keep: Vec<Kept>,
}

/// Times are in whole seconds since 1970: `until` is when the last cookie that an entry refuses has expired.
#[derive(Default)]
pub struct Revoked {
    sessions: HashMap<Id, u32>,
    users: HashMap<Id, UserEntry>,
    /// The sessions that entries in `users` keep. Few entries keep any.
    kept: HashMap<Id, Vec<Kept>>,
}

impl Revoked {
    pub fn add_session(&mut self, id: Id, until: u32) {
        let known = self.sessions.entry(id).or_insert(until);
        *known = until.max(*known);
    }

    /// Merges the entries of one user into one, with the later cursor. It keeps the sessions that neither entry
    /// refuses.
    ///
    /// A session that only the later one keeps is refused if it was bound before the earlier one.
    pub fn add_user(&mut self, user: Id, cursor: u64, until: u32, keep: &[Kept]) {
        let Some(known) = self.users.get(&user).copied() else {
            self.users.insert(user, UserEntry::new(cursor, until));
            self.set_kept(user, keep.to_vec());
            return;
        };
        let known_keep = self.kept.remove(&user).unwrap_or_default();
        let (earlier, of_earlier, of_later) = if cursor >= known.cursor() {
            (known.cursor(), &known_keep[..], keep)
        } else {
            (cursor, keep, &known_keep[..])
        };
        let is_left_alone = |kept: &&Kept| {
            let is_bound_later = kept.cursor >= earlier && cursor != known.cursor();
            is_bound_later || of_earlier.iter().any(|other| other.id == kept.id)
        };
        let left_alone = of_later.iter().filter(is_left_alone).copied().collect();
        self.users.insert(user, UserEntry::new(cursor.max(known.cursor()), until.max(known.until)));
        self.set_kept(user, left_alone);
    }

    fn set_kept(&mut self, user: Id, keep: Vec<Kept>) {
        if !keep.is_empty() {
            self.kept.insert(user, keep);
        }
    }

    /// Whether a session is refused. `user` returns the hash of its user, and is not called if no user is revoked.
    pub fn refuses(&self, id: &Id, cursor: u64, user: impl FnOnce() -> Option<Id>) -> bool {
        if self.sessions.contains_key(id) {
            return true;
        }
        if self.users.is_empty() {
            return false;
        }
        let Some(user) = user() else { return false };
        self.users.get(&user).is_some_and(|entry| cursor < entry.cursor() && !self.keeps(&user, id))
    }

    fn keeps(&self, user: &Id, id: &Id) -> bool {
        self.kept.get(user).is_some_and(|keep| keep.iter().any(|kept| kept.id == *id))
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.sessions.len() + self.users.len()
    }

    /// Removes the entries that have expired, because all cookies that they refuse have expired, too.
    pub fn remove_expired(&mut self, now: u32) {
        self.sessions.retain(|_, until| *until > now);
        self.users.retain(|_, entry| entry.until > now);
        self.kept.retain(|user, _| self.users.contains_key(user));
        // Frees memory if many entries have expired at once, perhaps after an attack.
        if self.sessions.len() < self.sessions.capacity() / 4 {
            self.sessions.shrink_to_fit();
        }
        if self.users.len() < self.users.capacity() / 4 {
            self.users.shrink_to_fit();
        }
    }

    /// The sessions that this list refuses by their ids and the other one does not, each with its end.
    pub fn sessions_missing_in(&self, other: &Self) -> Vec<(Id, u32)> {
        let missing = self.sessions.iter().filter(|(id, _)| !other.sessions.contains_key(*id));
        missing.map(|(id, until)| (*id, *until)).collect()
    }

    /// The users whose revocation here is later than that of the other list.
    pub fn users_missing_in(&self, other: &Self) -> Vec<RevokedUser> {
        let is_missing =
            |user: &Id, entry: &UserEntry| other.users.get(user).is_none_or(|known| known.cursor() < entry.cursor());
        let missing = self.users.iter().filter(|(user, entry)| is_missing(user, entry));
        missing
            .map(|(user, entry)| RevokedUser {
                user: *user,
                cursor: entry.cursor(),
                until: entry.until,
                keep: self.kept.get(user).cloned().unwrap_or_default(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Id = *b"the hash of ada.";
    const EVA: Id = *b"the hash of eva.";
    const ONE: Id = *b"0123456789abcde1";
    const TWO: Id = *b"0123456789abcde2";

    fn refuses(list: &Revoked, id: Id, cursor: u64) -> bool {
        list.refuses(&id, cursor, || Some(ADA))
    }

    #[test]
    fn a_session_is_refused_by_its_id() {
        let mut list = Revoked::default();
        list.add_session(ONE, 100);
        assert!(list.refuses(&ONE, 7, || None));
        assert!(!list.refuses(&TWO, 7, || None));
    }

    #[test]
    fn a_user_is_refused_by_what_was_bound_before() {
        let mut list = Revoked::default();
        list.add_user(ADA, 10, 100, &[Kept { id: TWO, cursor: 4 }]);
        assert!(refuses(&list, ONE, 9));
        assert!(!refuses(&list, ONE, 10));
        assert!(!refuses(&list, TWO, 4));
        assert!(!list.refuses(&ONE, 9, || Some(EVA)));
        assert!(!list.refuses(&ONE, 9, || None));
    }

    #[test]
    fn a_later_entry_cannot_keep_what_an_earlier_one_has_refused() {
        let earlier = (10, vec![Kept { id: TWO, cursor: 4 }]);
        let later = (20, vec![Kept { id: ONE, cursor: 4 }, Kept { id: TWO, cursor: 4 }]);
        for entries in [[&earlier, &later], [&later, &earlier]] {
            let mut list = Revoked::default();
            for (cursor, keep) in entries {
                list.add_user(ADA, *cursor, 100, keep);
            }
            assert!(refuses(&list, ONE, 4));
            assert!(!refuses(&list, TWO, 4));
            assert!(!refuses(&list, TWO, 19) && refuses(&list, EVA, 19));
            assert!(!refuses(&list, ONE, 20));
        }
    }

    #[test]
    fn a_later_entry_keeps_what_was_bound_after_the_earlier_one() {
        let mut list = Revoked::default();
        list.add_user(ADA, 10, 100, &[]);
        list.add_user(ADA, 20, 100, &[Kept { id: ONE, cursor: 10 }]);
        assert!(!refuses(&list, ONE, 10));
    }

    #[test]
    fn the_same_entry_twice_is_that_entry() {
        let mut list = Revoked::default();
        for _ in 0..2 {
            list.add_user(ADA, 10, 100, &[Kept { id: ONE, cursor: 10 }]);
            list.add_session(TWO, 100);
        }
        assert_eq!(list.count(), 2);
        assert!(!refuses(&list, ONE, 4));
    }

    #[test]
    fn entries_end() {
        let mut list = Revoked::default();
        list.add_session(ONE, 100);
        list.add_session(TWO, 200);
        list.add_user(ADA, 10, 100, &[Kept { id: TWO, cursor: 4 }]);
        list.remove_expired(100);
        assert_eq!(list.count(), 1);
        assert!(refuses(&list, TWO, 1) && !refuses(&list, ONE, 1));
        assert!(list.kept.is_empty());
    }

    #[test]
    fn what_another_list_lacks() {
        let (mut list, mut other) = (Revoked::default(), Revoked::default());
        list.add_session(ONE, 100);
        list.add_user(ADA, 10, 100, &[Kept { id: TWO, cursor: 4 }]);
        list.add_user(EVA, 10, 100, &[]);
        other.add_user(ADA, 9, 100, &[]);
        other.add_user(EVA, 10, 100, &[]);
        assert_eq!(list.sessions_missing_in(&other), [(ONE, 100)]);
        let users = list.users_missing_in(&other);
        assert_eq!(users.iter().map(|found| (found.user, found.cursor)).collect::<Vec<_>>(), [(ADA, 10)]);
        assert_eq!(users[0].keep, [Kept { id: TWO, cursor: 4 }]);
    }

    #[test]
    fn an_entry_takes_as_little_room_as_is_said() {
        assert_eq!((size_of::<(Id, u32)>(), size_of::<(Id, UserEntry)>()), (20, 28));
    }
}
