import type { ConversionRequest, VariantState } from '@skerry/converter'
import type { RuntimeName } from '@skerry/runtimes'

/** What the models' preparation works with. */
export type ZooContext = {
  /** Python executable of the environment with TensorFlow and scikit-image. */
  python: string
  /** Prepared models are kept here, by what made them. */
  cacheDir: string
  /** Python packages that are installed for the zoo alone. */
  packagesDir: string
  log: (line: string) => void
}

/** The parts of a conversion's request that a model brings. */
export type PreparedModel = Pick<
  ConversionRequest,
  'sourcePath' | 'format' | 'calibrationPath' | 'evaluationPath' | 'preprocessing' | 'labels' | 'signature'
> & {
  /** What the authors themselves made of the same model. */
  oracle?: Oracle
}

export type Oracle = {
  path: string
  /** From the original's output names to the names of the authors' file. */
  outputs: Record<string, string>
}

/**
 * What is known of a variant beforehand: one state or several, and words that its reason has. `refused` stands for a
 * source that is refused whole.
 */
export type Expectation = { states: readonly (VariantState | 'refused')[]; reason?: RegExp }

export type ZooModel = {
  name: string
  group: string
  /** Package and version; or how it is made. */
  origin: string
  license: string
  /**
   * Default: all that the run is given. The WASM runtime takes tens of seconds for one sample of a large dynamic_int8
   * variant.
   */
  runtimes?: readonly RuntimeName[]
  /** Recipes that only this model is asked for, besides those that every model is asked for. */
  moreVariants?: readonly string[]
  /** By recipe's name; `*` for all others. A variant without an expectation may come out in any way. */
  expectations: Readonly<Record<string, Expectation>>
  prepare(context: ZooContext): Promise<PreparedModel>
}

export const ready: Expectation = { states: ['ready'] }
export const unproven = (reason: RegExp): Expectation => ({ states: ['unproven'], reason })
export const rejected = (reason: RegExp): Expectation => ({ states: ['rejected'], reason })
export const failed = (reason: RegExp): Expectation => ({ states: ['failed'], reason })
/** Where a small change of the calibration may tip it. */
export const readyOrRejected: Expectation = { states: ['ready', 'rejected'] }
