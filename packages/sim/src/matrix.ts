import { boundOf, type Experiment, runPolicy, type Summary } from './experiment.ts'

export type Cell = { deadline: number; load: number; policies: Summary[]; boundGoodputPercent: number | null }
export type MatrixOptions = {
  names: readonly string[]
  loads: readonly number[]
  deadlines: readonly number[]
  /** The bound takes longer than all policies: so many of the seeds, from the first on. */
  boundSeeds: number
}

/** Every policy at every load and deadline, over the same seeds. */
export function matrixOf(experiment: Experiment, options: MatrixOptions, say: (line: string) => void): Cell[] {
  const { names, loads, deadlines, boundSeeds } = options
  return deadlines.flatMap((deadline) =>
    loads.map((load) => {
      const own: Experiment = { ...experiment, fleet: { ...experiment.fleet, load, deadline } }
      const policies = names.map((name) => runPolicy(name, own))
      const bound = boundSeeds > 0 ? boundOf({ ...own, seeds: experiment.seeds.slice(0, boundSeeds) }) : null
      const failed = policies.map((each) => `${each.name} ${each.failedPercent.toFixed(1)}`)
      say(`deadline ${deadline}x, load ${load}, failed %: ${failed.join(', ')}`)
      return { deadline, load, policies, boundGoodputPercent: bound?.goodputPercent ?? null }
    })
  )
}

export type Comparison = {
  /** Failed of the one over failed of the other, both over all seeds. */
  ratio: number
  /** Seeds in which the one failed less, or as little. */
  noWorse: number
  seeds: number
  worstModel: [number, number]
}

export function compare(cell: Cell, name: string, peer: string): Comparison | null {
  const one = cell.policies.find((each) => each.name === name)
  const other = cell.policies.find((each) => each.name === peer)
  if (one === undefined || other === undefined) return null
  return {
    ratio: one.failedPercent / other.failedPercent,
    noWorse: one.bySeed.filter((each, i) => each.failedPercent <= (other.bySeed[i]?.failedPercent ?? 0)).length,
    seeds: one.bySeed.length,
    worstModel: [one.worstModelFailedPercent, other.worstModelFailedPercent]
  }
}
