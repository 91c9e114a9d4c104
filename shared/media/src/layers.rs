//! Which simulcast layer a listener gets: the smallest that fills the tile, among those that arrive just now, less what
//! the listener's line cannot carry (RFC 8853).

use std::time::Duration;

/// Layers of one source: q, h, f.
pub(crate) const LAYERS_MAX: usize = 3;
/// A layer without packets for this long, while others go on, has been switched off by its browser (weak line or
/// processor). Cameras in the dark send 7 pictures a second.
pub(crate) const ALIVE: Duration = Duration::from_millis(600);
/// Rates that are assumed until they have been measured, in bit/s. A picture without layers counts as the middle one.
const RATES_BPS: [u64; LAYERS_MAX] = [150_000, 500_000, 1_500_000];
/// A layer may be enlarged by this much before the next one is taken: 5/4.
const ENLARGE: (u32, u32) = (5, 4);
/// Heights that are assumed until a key frame tells.
const HEIGHTS: [u16; LAYERS_MAX] = [180, 360, 720];

/// What is known of one layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LayerState {
    /// Packets came lately.
    pub alive: bool,
    /// Packets came ever.
    pub known: bool,
    /// In pixels, from the last key frame; 0 unknown.
    pub height: u16,
}

/// The rate that is assumed of a layer, one of `count`.
pub(crate) fn assumed_bps(layer: usize, count: usize) -> u64 {
    RATES_BPS[if count == 1 { 1 } else { layer.min(LAYERS_MAX - 1) }]
}

/// The layer for a tile of `height` pixels. `steps_down`: how many layers below the best the line allows.
/// Nothing: no packet has ever come.
pub(crate) fn choose(layers: &[LayerState], height: u16, steps_down: usize) -> Option<usize> {
    let any_alive = layers.iter().any(|layer| layer.alive);
    let usable = |layer: &LayerState| if any_alive { layer.alive } else { layer.known };
    let top = layers.len().saturating_sub(1).saturating_sub(steps_down);
    let allowed = |index: usize| usable(&layers[index]) && index <= top;
    let enough = |index: usize| {
        let assumed = if layers.len() == 1 { u16::MAX } else { HEIGHTS[index.min(LAYERS_MAX - 1)] };
        let has = if layers[index].height == 0 { assumed } else { layers[index].height };
        u32::from(has) * ENLARGE.0 / ENLARGE.1 >= u32::from(height)
    };
    (0..layers.len())
        .find(|index| allowed(*index) && enough(*index))
        .or_else(|| (0..layers.len()).rev().find(|index| allowed(*index)))
        // Nothing within the line's limit: the smallest that there is.
        .or_else(|| (0..layers.len()).find(|index| usable(&layers[*index])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(alive: [bool; 3]) -> [LayerState; 3] {
        alive.map(|alive| LayerState { alive, known: true, height: 0 })
    }

    #[test]
    fn the_smallest_layer_that_fills_the_tile_is_taken() {
        let all = layers([true; 3]);
        for (tile, layer) in [(0, 0), (180, 0), (225, 0), (226, 1), (450, 1), (451, 2), (2_000, 2)] {
            assert_eq!(choose(&all, tile, 0), Some(layer), "tile of {tile}");
        }
        let mut portrait = all;
        portrait[0].height = 640;
        assert_eq!(choose(&portrait, 700, 0), Some(0), "the key frame's height counts");
    }

    #[test]
    fn a_dead_layer_is_replaced_by_the_best_one_below() {
        assert_eq!(choose(&layers([true, true, false]), 720, 0), Some(1));
        assert_eq!(choose(&layers([false, false, true]), 100, 0), Some(2), "better too much than nothing");
        assert_eq!(choose(&layers([false; 3]), 100, 0), Some(0), "all pause: stay where it may go on");
        assert_eq!(choose(&[LayerState::default(); 3], 100, 0), None);
        assert_eq!(choose(&[], 100, 0), None);
    }

    #[test]
    fn a_weak_line_takes_layers_from_the_top_but_never_the_last() {
        let all = layers([true; 3]);
        assert_eq!([0, 1, 2, 3].map(|down| choose(&all, 720, down)), [Some(2), Some(1), Some(0), Some(0)]);
        assert_eq!(choose(&layers([false, true, true]), 720, 2), Some(1), "the lowest that is alive");
        let single = [LayerState { alive: true, known: true, height: 1080 }];
        assert_eq!(choose(&single, 100, 5), Some(0));
    }
}
