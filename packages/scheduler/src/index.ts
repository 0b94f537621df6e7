export * from './assign.ts'
export * from './choose-variant.ts'
export * from './selector.ts'
