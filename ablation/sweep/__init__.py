"""Many runs: which, in what order, what is done already, and the engines that run them."""
