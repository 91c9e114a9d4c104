//! Which layer each picture of a listener gets within what the line carries. Audio has been taken off before; the
//! pictures come most important first: each gets its smallest layer before any gets a larger one, then they rise in the
//! order of their importance. What does not fit even at its smallest pauses.
//!
//! A pure function of what is known now and of what was chosen before: without that, layers would flap where a rate lies
//! at a border.

use crate::layers::LAYERS_MAX;

/// What the first picture may take beyond the line before it is paused: a shared screen whose page is turned takes much
/// for a moment.
const FIRST: (u64, u64) = (3, 2);
/// Room that a larger layer must find beyond its own rate: 15 %.
const ROOM: (u64, u64) = (115, 100);

/// A picture that a listener wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Rates of the layers that may be taken, up to the one that fills the tile. The highest of them is wanted.
    pub layers: [Option<u64>; LAYERS_MAX],
    /// The layer that it has now; nothing: it is paused, or new.
    pub now: Option<u8>,
    /// It was shown before, and pauses.
    pub paused: bool,
}

impl Picture {
    pub fn lowest(&self) -> Option<usize> {
        self.layers.iter().position(Option::is_some)
    }

    /// The layer that fills the tile.
    pub fn wanted(&self) -> Option<usize> {
        self.layers.iter().rposition(Option::is_some)
    }

    /// What the layer needs: more than its rate, if it would be a step up.
    fn need(&self, layer: usize, may_rise: bool) -> Option<u64> {
        let bps = self.layers[layer]?;
        let up = self.now.map_or(self.paused, |now| layer > usize::from(now));
        match (up, may_rise) {
            (false, _) => Some(bps),
            (true, true) => Some(bps * ROOM.0 / ROOM.1),
            (true, false) => None,
        }
    }
}

/// What all pictures would take on a line without limits.
pub(crate) fn wanted_bps(pictures: &[Picture]) -> u64 {
    pictures.iter().filter_map(|picture| picture.layers[picture.wanted()?]).sum()
}

/// `may_rise`: steps up are allowed now. `chosen` has as many places as `pictures`.
pub(crate) fn allot(budget_bps: u64, may_rise: bool, pictures: &[Picture], chosen: &mut [Option<u8>]) {
    let mut left = budget_bps;
    let mut first = true;
    for (picture, chosen) in pictures.iter().zip(chosen.iter_mut()) {
        *chosen = None;
        let Some(lowest) = picture.lowest() else { continue };
        let runs_first = std::mem::take(&mut first) && picture.now.is_some();
        let limit = if runs_first { left.saturating_mul(FIRST.0) / FIRST.1 } else { left };
        if picture.need(lowest, may_rise).is_some_and(|need| need <= limit) {
            *chosen = Some(lowest as u8);
            left = left.saturating_sub(picture.layers[lowest].unwrap_or(0));
        }
    }
    for (picture, chosen) in pictures.iter().zip(chosen.iter_mut()) {
        let Some(lowest) = *chosen else { continue };
        let has = picture.layers[usize::from(lowest)].unwrap_or(0);
        let better = (usize::from(lowest) + 1..LAYERS_MAX).rev().find_map(|layer| {
            let need = picture.need(layer, may_rise)?;
            (need.saturating_sub(has) <= left).then_some(layer)
        });
        if let Some(layer) = better {
            *chosen = Some(layer as u8);
            left = left.saturating_sub(picture.layers[layer].unwrap_or(0).saturating_sub(has));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAMERA: [Option<u64>; 3] = [Some(150), Some(500), Some(1_500)];

    fn camera(now: Option<u8>) -> Picture {
        Picture { layers: CAMERA, now, paused: false }
    }

    fn chosen(budget: u64, pictures: &[Picture]) -> Vec<Option<u8>> {
        let mut chosen = vec![None; pictures.len()];
        allot(budget, true, pictures, &mut chosen);
        chosen
    }

    #[test]
    fn each_gets_its_smallest_before_the_first_gets_more() {
        let three = [camera(None); 3];
        assert_eq!(chosen(10_000, &three), [Some(2); 3]);
        assert_eq!(wanted_bps(&three), 4_500);
        assert_eq!(chosen(2_000, &three), [Some(2), Some(0), Some(0)]);
        assert_eq!(chosen(1_200, &three), [Some(1), Some(1), Some(0)]);
        assert_eq!(chosen(460, &three), [Some(0); 3]);
        assert_eq!(chosen(449, &three), [Some(0), Some(0), None], "the last one pauses");
        assert_eq!(chosen(0, &three), [None; 3]);
    }

    #[test]
    fn what_runs_stays_while_it_fits_and_a_step_up_needs_room() {
        assert_eq!(chosen(500, &[camera(Some(1))]), [Some(1)]);
        assert_eq!(chosen(500, &[camera(Some(0))]), [Some(0)]);
        assert_eq!(chosen(575, &[camera(Some(0))]), [Some(1)]);
        let paused = Picture { paused: true, ..camera(None) };
        assert_eq!(chosen(160, &[paused]), [None]);
        assert_eq!(chosen(175, &[paused]), [Some(0)]);
        let mut rests = [None];
        allot(10_000, false, &[camera(Some(0))], &mut rests);
        assert_eq!(rests, [Some(0)]);
    }

    #[test]
    fn the_first_picture_is_not_paused_for_a_moment_s_swing() {
        let screen = |bps, now| Picture { layers: [Some(bps), None, None], now, paused: false };
        assert_eq!(chosen(1_000, &[screen(1_400, Some(0)), camera(Some(0))]), [Some(0), None]);
        assert_eq!(chosen(1_000, &[screen(1_600, Some(0)), camera(Some(0))]), [None, Some(1)]);
        assert_eq!(chosen(1_000, &[screen(1_400, None), camera(None)]), [None, Some(1)], "but not begun");
    }

    #[test]
    fn a_large_picture_that_does_not_fit_leaves_the_line_to_the_next() {
        let screen = Picture { layers: [Some(2_000), None, None], ..Picture::default() };
        assert_eq!(chosen(1_000, &[screen, camera(None)]), [None, Some(1)]);
        assert_eq!(chosen(1_000, &[Picture::default(), camera(None)]), [None, Some(1)], "nothing has come of it yet");
    }

    proptest! {
        #[test]
        fn never_more_than_the_line_carries_and_stable_once_chosen(
            budget in 0u64..8_000,
            rates in prop::collection::vec((1u64..400, 1u64..400, 1u64..2_000, 0usize..3), 0..9)
        ) {
            let mut pictures: Vec<Picture> = rates
                .iter()
                .map(|(q, h, f, top)| {
                    let mut layers = [Some(*q), Some(q + h), Some(q + h + f)];
                    layers[top + 1..].fill(None);
                    Picture { layers, ..Picture::default() }
                })
                .collect();
            let first = chosen(budget, &pictures);
            let took: u64 = pictures.iter().zip(&first).filter_map(|(p, c)| p.layers[usize::from((*c)?)]).sum();
            prop_assert!(took <= budget);
            for (picture, chosen) in pictures.iter_mut().zip(&first) {
                picture.now = *chosen;
                picture.paused = chosen.is_none();
            }
            prop_assert_eq!(chosen(budget, &pictures), first);
        }
    }
}
