"""Problems whose answers are judged by a rule: small programs to write, and those of reasoning-gym. They know nothing of the books."""
