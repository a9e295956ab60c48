package projector

const childEnv = "PROJECTOR_TEST_CHILD"

func runChild() int { return 0 }
