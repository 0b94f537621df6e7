import fs from 'node:fs'
import { parseSimArguments, type SimArguments, USAGE } from './arguments.ts'
import { completeModels, parseArrivals, parseLatencyTable } from './csv.ts'
import { boundOf, type Experiment, runPolicy } from './experiment.ts'
import { matrixOf } from './matrix.ts'
import { comparisonTable, failureTable, placeSection } from './matrix-markdown.ts'
import { plotSvg } from './plot.ts'
import { leftOutAt, POLICY_NAMES } from './policies.ts'
import { asFactor, quantiles, unseenError } from './prediction.ts'

/** `npm run sim`. Answers the exit code. @throws RangeError when an argument is wrong. */
export function runSim(argv: readonly string[], print: (line: string) => void): number {
  const asked = parseSimArguments(argv)
  if (asked.latency === undefined || (asked.arrivals === undefined && !asked.predict)) {
    print(USAGE)
    return 1
  }
  const rows = parseLatencyTable(fs.readFileSync(asked.latency, 'utf8'))
  const table = asked.complete ? completeModels(rows) : rows
  const { first, seeds, fleet, disturbance } = asked
  // Half of a table, hidden once, says too little: at least five draws.
  const unseen = unseenError(table, seeds.length >= 5 ? seeds : [0, 1, 2, 3, 4].map((i) => first + i))
  if (asked.predict) {
    print(JSON.stringify(unseen))
    return 0
  }
  const trace = parseArrivals(fs.readFileSync(asked.arrivals as string, 'utf8'))
  const leftOut = asked.names === undefined ? leftOutAt(fleet.devices) : []
  const names = asked.names ?? POLICY_NAMES.filter((name) => !leftOut.includes(name))
  const experiment: Experiment = { table, trace, fleet, disturbance, seeds }
  const say = asked.json ? () => undefined : print
  if (asked.matrix) return runMatrix(asked, experiment, names, print, say)
  const policies = names.map((name) => {
    const { bySeed: _, ...summary } = runPolicy(name, experiment)
    say(
      `${name.padEnd(25)} goodput ${summary.goodputPercent.toFixed(2)} %, worst model failed ` +
        `${summary.worstModelFailedPercent.toFixed(1)} %, p99 ${summary.p99Ms.toFixed(1)} ms, nine of ten runs within ` +
        `${asFactor(summary.predictionError.p90)} of the prediction`
    )
    return summary
  })
  const seen = policies.find(({ name }) => name === 'skerry')?.predictionError ?? quantiles([])
  if (asked.plot !== undefined) {
    const cells = matrixOf(experiment, { names, loads: asked.loads, deadlines: [fleet.deadline], boundSeeds: 0 }, say)
    fs.writeFileSync(asked.plot, plotSvg(cells))
  }
  const prediction = {
    seenP90: seen.p90,
    unseenP90: unseen.unseen.p90,
    twoWayUnseenP90: unseen.twoWay.p90,
    seen,
    ...unseen
  }
  print(JSON.stringify({ policies, bound: boundOf(experiment), prediction, leftOut, seeds, ...disturbance }))
  return 0
}

function runMatrix(
  asked: SimArguments,
  experiment: Experiment,
  names: readonly string[],
  print: (line: string) => void,
  say: (line: string) => void
): number {
  const { loads, deadlines, boundSeeds, plot, markdown, section } = asked
  const cells = matrixOf(experiment, { names, loads, deadlines, boundSeeds }, say)
  if (plot !== undefined)
    for (const deadline of deadlines) {
      const file = deadlines.length === 1 ? plot : plot.replace(/(\.svg)?$/, `-${deadline}x.svg`)
      fs.writeFileSync(file, plotSvg(cells.filter((cell) => cell.deadline === deadline)))
    }
  if (markdown !== undefined)
    fs.writeFileSync(
      markdown,
      placeSection(
        fs.readFileSync(markdown, 'utf8'),
        section,
        [failureTable(cells), comparisonTable(cells)].join('\n\n')
      )
    )
  print(JSON.stringify({ cells, seeds: experiment.seeds, ...experiment.disturbance }))
  return 0
}
