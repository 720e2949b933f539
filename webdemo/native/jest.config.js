module.exports = {
  preset: '@react-native/jest-preset',
  testMatch: ['<rootDir>/test/**/*.test.{ts,tsx}'],
  forceExit: true, // the SDK's timers outlive it
  testTimeout: 120_000, // for a machine that has more to do
  transformIgnorePatterns: ['node_modules/(?!((jest-)?react-native|@react-native(-community)?|@react-native-async-storage|@sentry|@breakwater)/)'],
};
