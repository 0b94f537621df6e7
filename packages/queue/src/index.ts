export * from './job-queue.ts'
export * from './replica-bus.ts'
