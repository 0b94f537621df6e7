export const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN

export const mean = (all: readonly number[]): number =>
  all.reduce((sum, each) => sum + each, 0) / Math.max(1, all.length)

/** Student's t at 97.5 % for 1 to 20 degrees of freedom; beyond, the normal's is near enough. */
const STUDENT = [
  12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.1, 2.09, 2.09
]

/** The mean and half the width of its 95 % confidence interval; zero for a single value, which has none. */
export function meanInterval(all: readonly number[]): { mean: number; half: number } {
  const centre = mean(all)
  if (all.length < 2) return { mean: centre, half: 0 }
  const variance = all.reduce((sum, each) => sum + (each - centre) ** 2, 0) / (all.length - 1)
  return { mean: centre, half: (STUDENT[all.length - 2] ?? 1.96) * Math.sqrt(variance / all.length) }
}
