module.exports = {
  preset: '@react-native/jest-preset',
  testTimeout: 60_000, // for a machine that has more to do
  testMatch: ['<rootDir>/test/**/*.test.{ts,tsx}'],
};
