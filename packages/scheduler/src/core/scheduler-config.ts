import { DEFAULT_WEIGHTS, type ScoreWeights } from '../scores/weights.ts'

export type SchedulerConfig = {
  /** The earliest deadline alone decides: the peer that the scores are measured against. */
  deadlineOnly: boolean
  /** How much each score counts in each of the two choices. */
  weights: ScoreWeights
  /** In this time what is counted for fairness fades by half. */
  fairnessHalfLifeMs: number
  /** Jobs held here at most, shared among pools and classes by `Room`; beyond it they wait in their pool. */
  bound: number
  /**
   * A job leaves a free device alone when a busy one will have done it in this share of the time; 0 never waits. The rest
   * is room for the noise of the two predictions: two runs of 15 % noise each differ by a fifth.
   */
  waitRatio: number
  /**
   * Of the works that the same devices do alike, so many are looked at where the first is left for a busy device. 1: those
   * behind it stay too, and a device that is slow at them is kept for other work; more: it takes the next one.
   */
  laneDepth: number
  /** Demands with waiting work at most, those of one device apart: each has a bitmap of the devices, and is looked at. */
  lineBound: number
  /** Work whose deadline is farther than this goes by age: as urgent as if it were due then, and past it ever more so. */
  agingMs: number
  /** Work that is refused for a latency learnt so long ago, or longer, has the device timed again. */
  remeasureMs: number
  /** Lines without work that are kept, so that their demand's next job need not ask the filters of every device. */
  idleLines: number
}

export const DEFAULT_SCHEDULER_CONFIG: SchedulerConfig = {
  deadlineOnly: false,
  weights: DEFAULT_WEIGHTS,
  fairnessHalfLifeMs: 600_000,
  bound: 50_000,
  waitRatio: 0.8,
  laneDepth: 1,
  lineBound: 2_000,
  agingMs: 600_000,
  remeasureMs: 600_000,
  idleLines: 256
}
