export { fileSha256, hashFile } from './file-sha256.ts'
export { fromFloat16, toFloat16 } from './float16.ts'
export { acceptLiteRt, knownLiteRtLibraries, type LiteRtBuild, type Machine, thisMachine } from './litert-acceptance.ts'
export type { InputShapes, ModelSource } from './model-plan.ts'
export {
  ModelSession,
  type NameMap,
  type SessionOutput,
  type SessionResult,
  type TensorData
} from './model-session.ts'
export {
  describeMissing,
  type MissingOperator,
  missingOperators,
  probedVersion,
  supportedOperators
} from './operators.ts'
export { missingPackage } from './optional-package.ts'
export { type ProfileOptions, profileModel, type RunStatistics, type RuntimeProfile, statistics } from './profile.ts'
export { type RankedRuntime, type RankOptions, rankRuntimes } from './rank-runtimes.ts'
export { type RankingDtype, rankingModel } from './ranking-model.ts'
export type {
  CallOptions,
  InvokeOptions,
  InvokeResult,
  LoadedModel,
  LoadOptions,
  RuntimeExit,
  RuntimeInfo,
  RuntimeName,
  StartRuntimeOptions,
  TfliteRuntime
} from './runtime.ts'
export { runtimeNames } from './runtime.ts'
export { RuntimeError, type RuntimeErrorCode, runtimeErrorCodes } from './runtime-error.ts'
export { runtimeStamp } from './runtime-stamp.ts'
export { startRuntime } from './start-runtime.ts'
export type { WeightCache } from './weight-cache.ts'
