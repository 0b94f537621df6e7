export type SchedulerConfig = {
  /** The earliest deadline alone decides: the peer that the scores are measured against. */
  deadlineOnly: boolean
  /** How strongly work with little time left goes first. */
  urgency: number
  /** How strongly work that costs a device more time than its peers waits for them; 0 ignores it. */
  affinity: number
  /** How strongly short work goes before long work that is as urgent. */
  shortness: number
  /** How strongly the chance to be in time counts: of a device for the work, and of a work for the device. */
  certainty: number
  /** How strongly models that missed more than others go first. */
  fairness: number
  /** In this time what is counted for fairness fades by half. */
  fairnessHalfLifeMs: number
  /** How much dearer a fast kind's time is: 0 sends new work to what finishes it first, 1 to what is best at it. */
  thrift: number
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
  urgency: 0.5,
  affinity: 1,
  shortness: 1,
  certainty: 2,
  fairness: 0.3,
  fairnessHalfLifeMs: 600_000,
  thrift: 0.5,
  bound: 50_000,
  waitRatio: 0.8,
  laneDepth: 1,
  lineBound: 2_000,
  agingMs: 600_000,
  remeasureMs: 600_000,
  idleLines: 256
}
