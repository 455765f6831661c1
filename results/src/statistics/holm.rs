//! Several tests at once (Holm, *Scandinavian Journal of Statistics* 6 (1979) 65): the chance of
//! even one false alarm among them stays below α, whatever depends on what.

/// Adjusted p-values in the order given: a test is significant where its own is below α. Tests
/// that could not have become significant anyway must be left out by the caller: they can raise no
/// false alarm (Tarone, *Biometrics* 46 (1990) 515).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut reached = 0.0_f64;
    for (place, at) in order.into_iter().enumerate() {
        reached = reached.max(p_values[at] * (p_values.len() - place) as f64).min(1.0);
        adjusted[at] = reached;
    }
    adjusted
}
