import { gaussianFill, twoWayFill } from '@skerry/scheduler'
import type { LatencyTable } from './csv.ts'
import { quantile } from './quantile.ts'
import { seededRandom } from './random.ts'

export type PredictionError = { p50: number; p90: number }
export type UnseenError = { unseen: PredictionError; twoWay: PredictionError; pairs: number }

/** |log ratio| of predictions for pairs that never ran: half of the table is hidden, by the seed. */
export function unseenError(table: LatencyTable, seeds: readonly number[]): UnseenError {
  const kinds = table.devices.length
  const artifacts = table.models.length
  const ours: number[] = []
  const peer: number[] = []
  for (const seed of seeds) {
    const random = seededRandom(seed)
    const log = new Float64Array(kinds * artifacts)
    const count = new Float64Array(kinds * artifacts)
    for (let m = 0; m < artifacts; m++)
      for (let k = 0; k < kinds; k++) {
        const ms = table.ms[m * kinds + k] as number
        if (!(ms > 0)) continue
        log[k * artifacts + m] = Math.log(ms)
        count[k * artifacts + m] = random() < 0.5 ? 1 : 0
      }
    const filled = gaussianFill(log, count, kinds, artifacts)
    const twoWay = twoWayFill(log, count, kinds, artifacts)
    for (let m = 0; m < artifacts; m++)
      for (let k = 0; k < kinds; k++) {
        const cell = k * artifacts + m
        if (!((table.ms[m * kinds + k] as number) > 0) || (count[cell] as number) > 0) continue
        ours.push(Math.abs((filled.mean[cell] as number) - (log[cell] as number)))
        peer.push(Math.abs((twoWay[cell] as number) - (log[cell] as number)))
      }
  }
  return { unseen: quantiles(ours), twoWay: quantiles(peer), pairs: ours.length }
}

/** A difference of logarithms as people read it: 0.26 is 1.297x. */
export const asFactor = (logRatio: number): string => `${Math.exp(logRatio).toFixed(3)}x`

export function quantiles(errors: readonly number[]): PredictionError {
  const sorted = [...errors].sort((a, b) => a - b)
  return { p50: quantile(sorted, 0.5), p90: quantile(sorted, 0.9) }
}
